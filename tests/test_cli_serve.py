"""`serve`: the emulator, with active runs of every kind on request."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_harness import figures, interrupting

from retab_async.cli import run
from retab_async.emulator import Emulator
from retab_async.resources import RESOURCES


def test_serve_prints_the_environment_of_clients_first(capsys: pytest.CaptureFixture[str]) -> None:
    port = _free_port()

    with interrupting(lambda: _can_connect("127.0.0.1", port)):
        options = ["--seed", "1", "--api-key", "k", "--rate-limit", "300/min", "--no-retry-after"]
        code = run(["serve", "--port", str(port), *options])

    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert captured.out.splitlines() == [
        f"export RETAB_API_BASE_URL=http://127.0.0.1:{port}",
        "export RETAB_API_KEY=k",
        f"started {len(RESOURCES)} runs of {len(RESOURCES)} kinds",
    ]


@pytest.mark.parametrize(
    ("options", "is_active"), [([], True), (["--running", "5"], False), (["--queued", "0"], False)]
)
def test_seeded_runs_stay_in_flight_unless_a_time_is_given(
    options: list[str], *, is_active: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = _free_port()
    seconds = [0.0]
    emulators: list[Emulator] = []
    active: list[str] = []

    def make(**settings: Any) -> Emulator:
        emulators.append(Emulator(**settings, clock=lambda: seconds[0]))
        return emulators[0]

    def look() -> bool:
        if not _can_connect("127.0.0.1", port) or not (tmp_path / "ids.csv").exists():
            return False
        seconds[0] = 3600.0
        active.extend(emulators[0].active_runs())
        return True

    monkeypatch.setattr("retab_async.cli.serve.Emulator", make)
    with interrupting(look):
        ids_file = ["--ids-file", str(tmp_path / "ids.csv")]
        assert run(["serve", "--port", str(port), "--seed", "1", *ids_file, *options]) == 0

    assert len(active) == (len(RESOURCES) if is_active else 0)


def test_ids_file_is_written_before_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--seed", "1", "--ids-file", "no/where"]) == 1

    assert capsys.readouterr().out == ""


@pytest.mark.subprocess
def test_serve_seed_prints_a_count_and_writes_the_ids_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = _free_port()
    monkeypatch.chdir(tmp_path)
    cancelled: list[subprocess.CompletedProcess[str]] = []

    def cancel() -> bool:
        if not _can_connect("127.0.0.1", port) or not Path("ids.csv").exists():
            return False
        environment = {**os.environ, "RETAB_API_KEY": "k", "RETAB_API_BASE_URL": f"http://127.0.0.1:{port}"}
        line = [sys.executable, "-m", "retab_async", "cancel", "--from-file", "ids.csv"]
        cancelled.append(subprocess.run(line, env=environment, capture_output=True, text=True, check=False))  # noqa: S603
        return True

    with interrupting(cancel):
        code = run(["serve", "--port", str(port), "--running", "60", "--seed", "2", "--ids-file", "ids.csv"])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[2:] == [f"started {2 * len(RESOURCES)} runs of {len(RESOURCES)} kinds"]
    assert figures(cancelled[0].stdout)["cancelled"] == str(2 * len(RESOURCES))


def test_serve_exits_1_if_the_ids_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(["serve", "--seed", "1", "--ids-file", "no/where"]) == 1

    assert "no/where cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "is_loopback"), [("localhost", True), ("127.0.0.2", True), ("0.0.0.0", False)])  # noqa: S104
def test_serve_listens_on_its_host(host: str, *, is_loopback: bool, capsys: pytest.CaptureFixture[str]) -> None:
    port = _free_port()

    with interrupting(lambda: _can_connect(host, port)):
        code = run(["serve", "--host", host, "--port", str(port)])

    assert code == 0
    assert ("export RETAB_API_ALLOW_HTTP=1" in capsys.readouterr().out) is not is_loopback


def test_serve_rejects_a_host_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "example.com"]) == 2

    assert "'example.com' is neither an IP address nor localhost" in capsys.readouterr().err


def test_serve_exits_1_if_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run(["serve", "--port", str(taken.getsockname()[1])])

    assert code == 1
    assert "cannot listen on port" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["300", "0/60", "300/0", "x/y", "300/-1", "300/week", "300/"])
def test_serve_rejects_an_invalid_rate_limit(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--rate-limit", limit]) == 2

    assert "REQUESTS/SECONDS" in capsys.readouterr().err


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
