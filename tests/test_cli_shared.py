"""`--rate-limit` and `--shared` of the command line."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import served_emulator, wait_until, write_lines

from retab_async import RateLimit
from retab_async.cli import run
from retab_async.cli.params import shared_limit
from retab_async.emulator import Emulator

SHARED = ["--rate-limit", "2/0.4", "--shared", "retab.limit"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def statuses(emulator: Emulator) -> set[int | None]:
    return {served.status for served in emulator.requests}


@pytest.mark.parametrize("source", ["ids", "file", "any kind", "matching"])
def test_cancels_of_two_commands_keep_to_one_shared_limit(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with served_emulator(monkeypatch, queued=60, rate_limit=RateLimit(2, per=0.4)) as emulator:
        for _ in range(2):
            ids = emulator.seed("splits", 2)
            command = {
                "ids": ["splits", "cancel", *ids],
                "file": ["splits", "cancel", "--from-file", write_lines(ids)],
                "any kind": ["cancel", "--from-file", write_lines([f"splits,{each}" for each in ids])],
                "matching": ["splits", "cancel-matching", "--yes"],
            }[source]
            assert run([*command, *SHARED]) == 0

    assert len(emulator.requests) >= 4
    assert statuses(emulator) == {200}


@pytest.mark.parametrize("verb", [["wait"], ["delete", "--yes"]])
@pytest.mark.parametrize("options", [SHARED, SHARED[:2]], ids=["shared", "alone"])
def test_wait_and_delete_keep_to_a_rate_limit(
    verb: list[str], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served_emulator(monkeypatch, queued=0, running=0, rate_limit=RateLimit(2, per=0.4)) as emulator:
        ids = emulator.seed("splits", 5)
        assert run(["splits", *verb, *ids, *options]) == 0

    assert len(emulator.requests) >= 5
    assert 429 not in statuses(emulator)


@pytest.mark.parametrize("command", [["cancel", "splt_1"], ["cancel-matching", "--yes"], ["wait", "splt_1"]])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--shared", "retab.limit"], "--shared needs a limit to share: add --rate-limit, such as 300/60"),
        (["--rate-limit", "300/60", "--shared", "missing/retab.limit"], "cannot hold a rate limit: No such file"),
        (["--rate-limit", "300/60", "--shared", "http://:secret@host"], "invalid Redis URL: write redis://"),
        (["--rate-limit", "300/60", "--shared", "redis://:secret/1@host"], "encode special characters of the password"),
        (["--rate-limit", "300/60", "--shared", "secret@host:6379"], "write redis://HOST:PORT, or ./NAME for a file"),
        (["--rate-limit", "300/60", "--shared", "redis:/host"], "--shared is neither a path nor a URL"),
    ],
)
def test_shared_limit_that_cannot_work_is_wrong_usage(
    command: list[str], options: list[str], reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("redis")
    code = run(["splits", *command, *options])

    error = " ".join(capsys.readouterr().err.split())
    assert code == 2
    assert reason in error
    assert "secret" not in error
    assert list(folder.iterdir()) == []


@pytest.fixture
def redis_server(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A real server at the socket `redis` of the folder."""
    pytest.importorskip("redis")
    path = shutil.which("redis-server")
    if path is None:
        pytest.skip("redis-server is not installed")
    options = ["--port", "0", "--unixsocket", str(folder / "redis"), "--save", ""]
    with subprocess.Popen([path, *options], stdout=subprocess.DEVNULL) as server:  # noqa: S603
        wait_until((folder / "redis").exists)
        yield server
        server.terminate()


def test_redis_url_shares_the_limit_through_the_client_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pytest.importorskip("fakeredis").FakeAsyncRedis
    monkeypatch.setattr("redis.asyncio.Redis.from_url", lambda _: fake())

    assert repr(shared_limit(RateLimit(300, per=60), "redis://host")) == "RedisRateLimit(300, per=60)"


@pytest.mark.slow
def test_redis_url_shares_the_limit_through_redis(redis_server: object, folder: Path) -> None:
    limit = shared_limit(RateLimit(300, per=60), f"unix://{folder}/redis")

    assert repr(limit) == "RedisRateLimit(300, per=60)"


@pytest.mark.slow
def test_redis_that_stops_is_warned_about_without_verbose(
    redis_server: "subprocess.Popen[bytes]",
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit = shared_limit(RateLimit(300, per=60), f"unix://{folder}/redis")
    redis_server.terminate()
    redis_server.wait()
    monkeypatch.setattr("retab_async.cli.cancel.pop_shared_limit", lambda job: (job.pop("shared"), limit)[1])
    with served_emulator(monkeypatch, queued=60) as emulator:
        assert run(["splits", "cancel", *emulator.seed("splits", 1)]) == 0

    assert "shared rate limit unavailable (ConnectionError): this process keeps" in capsys.readouterr().err


def test_redis_that_cannot_be_reached_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("redis")
    code = run(["splits", "cancel", "splt_1", "--rate-limit", "300/5", "--shared", "redis://:secret@127.0.0.1:1/0"])

    error = " ".join(capsys.readouterr().err.split())
    assert code == 2
    assert "the server of the shared rate limit is unavailable (ConnectionError): check that it runs, and" in error
    assert "secret" not in error


@pytest.mark.parametrize("options", [["--rate-limit", "500/1"], []], ids=["given", "learned"])
def test_429_responses_under_a_given_limit_hint_at_another_process(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_emulator(monkeypatch, queued=60, rate_limit=RateLimit(5, per=0.1)) as emulator:
        assert run(["splits", "cancel", *emulator.seed("splits", 16), *options]) == 0

    hint = "requests were over the API's limit: another process may use this key, see --shared"
    assert (hint in capsys.readouterr().err) is bool(options)


def test_file_needs_no_redis(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "retab_async.integrations.redis", None)

    assert repr(shared_limit(RateLimit(3, per=6), "limit")) == f"FileRateLimit('{folder}/limit', 3, per=6)"
