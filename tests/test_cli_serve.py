"""`serve`: the emulator, with active runs of every kind on request."""

import socket
from collections import Counter

import pytest
from cli_harness import interrupting

from retab_async.cli import run
from retab_async.resources import RESOURCES


@pytest.mark.parametrize(("seed", "each"), [((), 0), (("--seed", "2"), 2)])
def test_serve_prints_its_address_and_the_seeded_runs(
    seed: tuple[str, ...], each: int, capsys: pytest.CaptureFixture[str]
) -> None:
    port = _free_port()

    with interrupting(lambda: _can_connect(port)):
        code = run(["serve", "--port", str(port), *seed, "--rate-limit", "300/60", "--no-retry-after"])

    captured = capsys.readouterr()
    first, *lines = captured.out.splitlines()
    assert (code, first) == (0, f"http://127.0.0.1:{port}")
    assert Counter(line.split("\t")[0] for line in lines) == Counter(dict.fromkeys(RESOURCES, each))
    assert len({line.split("\t")[1] for line in lines}) == len(lines)
    assert captured.err.startswith(f"export RETAB_API_BASE_URL=http://127.0.0.1:{port} ")


def test_serve_exits_1_if_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run(["serve", "--port", str(taken.getsockname()[1])])

    assert code == 1
    assert "cannot listen on port" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["300", "0/60", "300/0", "x/y", "300/-1"])
def test_serve_rejects_an_invalid_rate_limit(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--rate-limit", limit]) == 2

    assert "REQUESTS/SECONDS" in capsys.readouterr().err


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
