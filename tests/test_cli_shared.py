"""`--rate-limit` and `--shared` of the command line."""

import sys
from pathlib import Path

import pytest
from cli_harness import served_emulator, write_lines

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
        (["--rate-limit", "300/60", "--shared", "http://:secret@host"], "invalid Redis URL"),
    ],
)
def test_shared_limit_that_cannot_work_is_wrong_usage(
    command: list[str], options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("redis")
    code = run(["splits", *command, *options])

    error = " ".join(capsys.readouterr().err.split())
    assert code == 2
    assert reason in error
    assert "secret" not in error


def test_redis_url_shares_the_limit_through_redis() -> None:
    pytest.importorskip("redis")
    limit = shared_limit(RateLimit(300, per=60), "redis://localhost:6379/0")

    assert repr(limit) == "RedisRateLimit(300, per=60)"


def test_file_needs_no_redis(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "retab_async.integrations.redis", None)

    assert repr(shared_limit(RateLimit(3, per=6), "limit")) == f"FileRateLimit('{folder}/limit', 3, per=6)"
