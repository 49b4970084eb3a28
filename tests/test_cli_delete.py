"""`delete`: asks first."""

import io
import json
import re
from collections.abc import Iterator

import pytest
from test_cli import served

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault


class Terminal:
    """A stdin at which somebody sits, who types an answer, or does something else."""

    def __init__(self, answer: str | type[BaseException]) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        if isinstance(self._answer, str):
            return self._answer
        raise self._answer


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test."""
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def test_with_yes_it_deletes_and_prints_a_line_a_run(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = emulator.seed("splits", 2)

    code = run(["splits", "delete", "--yes", one, other, one])

    said = capsys.readouterr()
    assert code == 0
    assert (said.out, said.err) == (f"{one}\tdeleted\t\t\n{other}\tdeleted\t\t\n", "")
    assert emulator.active_runs() == []


def test_one_that_cannot_be_deleted_makes_exit_1_and_does_not_stop_the_others(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    refused, good = emulator.seed("splits", 2)
    emulator.fail("DELETE /v1/splits/{id}", Fault.status(403))

    code = run(["splits", "delete", "--yes", "--json", refused])
    code += run(["splits", "delete", "--yes", "--json", "splt_unknown", "a/b", good])

    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 2
    assert [(each["id"], each["disposition"], each["run"]) for each in outcomes] == [
        (refused, "rejected", None),
        ("splt_unknown", "not_found", None),
        ("a/b", "rejected", None),
        (good, "deleted", None),
    ]


@pytest.mark.parametrize(("answer", "code", "deleted"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_it_asks_on_stderr_and_does_as_it_is_told(
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

    said = capsys.readouterr()
    assert said.err.startswith(f"Delete {run_id}? [y/N]:")
    assert ("nothing was deleted" in said.err) is not deleted
    # Some versions of click put the blank behind the question on stdout.
    assert said.out.lstrip(" ") == (f"{run_id}\tdeleted\t\t\n" if deleted else "")
    assert (emulator.active_runs() == []) is deleted


def test_many_are_counted_where_it_asks(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    run(["splits", "delete", *(f"splt_{number}" for number in range(6))])

    assert capsys.readouterr().err.startswith("Delete 6 split runs?")


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_the_end_of_the_input_and_an_interrupt_are_no_answers(
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
def test_where_nobody_can_be_asked_it_wants_yes(
    stdin: io.StringIO | None,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)

    assert run(["splits", "delete", "splt_1"]) == 2

    assert "--yes" in capsys.readouterr().err
    assert emulator.requests == []
