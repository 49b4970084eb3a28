"""`cancel-matching`: what it finds, what it asks, and what it does then."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli import served
from test_cli_bulk import figures
from test_cli_delete import Terminal

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES

MATCHING = [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "cancel_matching")]
WORKFLOWS = {"workflow-id", "status", "from-date", "to-date"}
FILTERS = {
    "parses": {"filename", "from-date", "to-date"},
    "workflows.runs": WORKFLOWS,
    "workflows.evals.runs": WORKFLOWS,
    "workflows.experiments.runs": WORKFLOWS,
}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test, and a directory of one's own."""
    monkeypatch.chdir(tmp_path)
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def sent(emulator: Emulator) -> int:
    """Return how many cancels were sent."""
    return sum(each.method == "POST" for each in emulator.requests)


@pytest.mark.parametrize("kind", MATCHING)
def test_all_that_match_are_cancelled(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.seed(kind.replace(".", "/"), 3)
    emulator.seed(kind.replace(".", "/"), queued=0, running=0)

    code = run([*kind.split("."), "cancel-matching", "--yes", "--from-date", "2020-01-01"])

    said = capsys.readouterr()
    assert (code, said.err, emulator.active_runs(), sent(emulator)) == (0, "", [], 3)
    assert figures(said.out)["cancelled"] == "3"


@pytest.mark.parametrize("kind", MATCHING)
def test_the_filters_are_those_of_the_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([*kind.split("."), "cancel-matching", "--help"])

    options = set(re.findall(r"(?m)^  --([a-z-]+)", capsys.readouterr().out))
    others = {"dry-run", "yes", "concurrency", "rate-limit", "journal", "wait", "outage-timeout", "failed", "json"}
    assert options - others == FILTERS.get(kind, {"status", "filename", "from-date", "to-date"})
    assert options >= others


def test_what_does_not_match_goes_on(emulator: Emulator) -> None:
    (running,) = emulator.seed("splits", queued=0)
    (queued,) = emulator.seed("splits")

    run(["splits", "cancel-matching", "--yes", "--status", "in_progress"])

    assert emulator.active_runs() == [queued]
    assert running not in emulator.active_runs()


def test_a_dry_run_prints_the_runs_and_cancels_none(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (running,) = emulator.seed("splits", queued=0)
    queued = emulator.seed("splits", 2)

    code = run(["splits", "cancel-matching", "--dry-run"])

    said = capsys.readouterr()
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert (code, sent(emulator)) == (0, 0)
    assert {(row[0], row[1], row[3]) for row in rows} == {
        (running, "in_progress", "sample.pdf"),
        *((run_id, "queued", "sample.pdf") for run_id in queued),
    }
    assert said.err == "3 splits would be cancelled: in_progress 1  queued 2\n"


def test_a_dry_run_as_json_is_an_object_for_each(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (run_id,) = emulator.seed("splits")

    run(["splits", "cancel-matching", "--dry-run", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["disposition"], told["run"]["status"]) == (run_id, "planned", "queued")


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 2), ("\n", 1, 2)])
def test_it_says_how_many_and_asks(
    *,
    answer: str,
    code: int,
    left: int,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    emulator.seed("splits", 2)

    assert run(["splits", "cancel-matching"]) == code

    said = capsys.readouterr()
    assert said.err.startswith("2 splits would be cancelled: queued 2\nCancel them? [y/N]:")
    assert ("nothing was cancelled" in said.err) is bool(left)
    assert len(emulator.active_runs()) == left


def test_of_one_it_asks_in_the_singular_and_counts_from_what_the_journal_has(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    (one,) = emulator.seed("splits")
    run(["splits", "cancel", one, "--journal", "cancel.jsonl"])
    emulator.seed("splits")

    assert run(["splits", "cancel-matching", "--journal", "cancel.jsonl"]) == 0

    said = capsys.readouterr().err
    assert "Cancel it?" in said
    assert "2/2" in said


def test_where_nothing_matches_it_does_not_ask(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(AssertionError))

    assert run(["splits", "cancel-matching", "--filename", "nothing"]) == 0

    assert capsys.readouterr().err == "0 splits would be cancelled\nnothing was cancelled\n"
    assert sent(emulator) == 0


def test_where_nobody_can_be_asked_it_wants_yes(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert run(["splits", "cancel-matching"]) == 2

    assert "--yes to cancel without being asked" in capsys.readouterr().err
    assert emulator.requests == []


@pytest.mark.parametrize("words", [("--dry-run",), ("--yes",)])
def test_a_list_that_cannot_be_had_makes_exit_1(
    words: tuple[str, ...], emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits", Fault.status(403))

    assert run(["splits", "cancel-matching", *words]) == 1

    assert "Error: Forbidden (GET /v1/splits" in capsys.readouterr().err


def test_a_date_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "cancel-matching", "--from-date", "yesterday"]) == 2

    assert "neither a date" in capsys.readouterr().err
