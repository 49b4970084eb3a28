"""`delete`: confirmation, outcomes and exit codes."""

import io
import json
import re
from collections.abc import Iterator

import pytest
from cli_harness import Terminal, served_emulator

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test."""
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def test_delete_yes_deletes_and_prints_a_line_for_each_run(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = emulator.seed("splits", 2)

    code = run(["splits", "delete", "--yes", one, other, one])

    captured = capsys.readouterr()
    assert code == 0
    assert (captured.out, captured.err) == (f"{one}\tdeleted\t\t\n{other}\tdeleted\t\t\n", "")
    assert emulator.active_runs() == []


def test_delete_reports_each_failure_and_exits_1(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    refused, good = emulator.seed("splits", 2)
    emulator.fail("DELETE /v1/splits/{id}", Fault.status(403))

    code = run(["splits", "delete", "--yes", "--json", refused])
    code += run(["splits", "delete", "--yes", "--json", "splt_unknown", "a/b", good])

    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 2
    assert [(each["id"], each["disposition"], each["run"]) for each in outcomes] == [
        (refused, "rejected", None),
        ("splt_unknown", "not_found", None),
        ("a/b", "invalid", None),
        (good, "deleted", None),
    ]


@pytest.mark.parametrize(("answer", "code", "deleted"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_delete_asks_on_stderr_and_follows_the_answer(
    *,
    answer: str,
    code: int,
    deleted: bool,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    (run_id,) = emulator.seed("splits")

    assert run(["splits", "delete", run_id]) == code

    captured = capsys.readouterr()
    assert captured.err.startswith(f"Delete {run_id}? [y/N]:")
    assert ("nothing was deleted" in captured.err) is not deleted
    # Some versions of click print the space after the question on stdout.
    assert captured.out.lstrip(" ") == (f"{run_id}\tdeleted\t\t\n" if deleted else "")
    assert (emulator.active_runs() == []) is deleted


def test_delete_of_many_asks_with_their_count(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    run(["splits", "delete", *(f"splt_{number}" for number in range(6))])

    assert capsys.readouterr().err.startswith("Delete 6 split runs?")


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_delete_exits_130_if_the_question_is_not_answered(
    end: type[BaseException],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(end))

    assert run(["splits", "delete", "splt_1"]) == 130

    assert re.fullmatch(r"Delete splt_1\? \[y/N\]: ?\ninterrupted\n", capsys.readouterr().err)
    assert emulator.requests == []


@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), None])
def test_delete_without_a_terminal_needs_yes(
    stdin: io.StringIO | None,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)

    assert run(["splits", "delete", "splt_1"]) == 2

    assert "--yes" in capsys.readouterr().err
    assert emulator.requests == []
