"""`cancel-matching`: filters, preview, confirmation and cancels."""

import io
import json
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest
from cli_harness import Terminal, figures, served_emulator

from retab_async.cli import run
from retab_async.cli.cancel_matching import matching_command
from retab_async.cli.params import filter_options
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES

MATCHING = [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "cancel_matching")]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def sent(emulator: Emulator) -> int:
    """Return the number of cancels that were sent."""
    return sum(each.method == "POST" for each in emulator.requests)


@pytest.mark.parametrize("kind", MATCHING)
def test_cancel_matching_cancels_all_active_runs(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.seed(kind.replace(".", "/"), 3)
    emulator.seed(kind.replace(".", "/"), queued=0, running=0)

    code = run([*kind.split("."), "cancel-matching", "--yes", "--from-date", "2020-01-01"])

    captured = capsys.readouterr()
    assert (code, captured.err, emulator.active_runs(), sent(emulator)) == (0, "", [], 3)
    assert figures(captured.out)["cancelled"] == "3"


@pytest.mark.parametrize("kind", MATCHING)
def test_cancel_matching_has_the_filters_of_list_and_the_options_of_a_job(kind: str) -> None:
    filters = {option.name for option in filter_options(attrgetter("list")(RESOURCES[kind]))}
    job = {"concurrency", "rate_limit", "shared", "journal", "wait", "wait_timeout", "outage_timeout", "dry_run"}

    options = [parameter.name for parameter in matching_command(kind, kind).params]

    assert len(options) == len(set(options))
    assert set(options) == filters | job | {"yes", "failed", "quiet", "as_json"}


def test_cancel_matching_leaves_other_runs_alone(emulator: Emulator) -> None:
    (running,) = emulator.seed("splits", queued=0)
    (queued,) = emulator.seed("splits")

    run(["splits", "cancel-matching", "--yes", "--status", "in_progress"])

    assert emulator.active_runs() == [queued]
    assert running not in emulator.active_runs()


def test_dry_run_prints_the_runs_and_cancels_none(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (running,) = emulator.seed("splits", queued=0)
    queued = emulator.seed("splits", 2)

    code = run(["splits", "cancel-matching", "--dry-run"])

    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert (code, sent(emulator)) == (0, 0)
    assert {(row[0], row[1], row[3]) for row in rows} == {
        (running, "in_progress", "sample.pdf"),
        *((run_id, "queued", "sample.pdf") for run_id in queued),
    }
    assert captured.err == "3 splits would be cancelled: in_progress 1  queued 2\n"


def test_dry_run_json_prints_an_object_for_each(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (run_id,) = emulator.seed("splits")

    run(["splits", "cancel-matching", "--dry-run", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["disposition"], found["run"]["status"]) == (run_id, "planned", "queued")


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 2), ("\n", 1, 2)])
def test_cancel_matching_prints_the_count_and_asks(
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

    captured = capsys.readouterr()
    assert captured.err.startswith("2 splits would be cancelled: queued 2\nCancel them? [y/N]:")
    assert ("nothing was cancelled" in captured.err) is bool(left)
    assert len(emulator.active_runs()) == left


def test_cancel_matching_counts_the_runs_of_its_own_call(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    (one,) = emulator.seed("splits")
    run(["splits", "cancel", one, "--journal", "cancel.jsonl"])
    emulator.seed("splits")

    assert run(["splits", "cancel-matching", "--journal", "cancel.jsonl"]) == 0

    captured = capsys.readouterr().err
    assert "Cancel it?" in captured
    assert "1/1" in captured


def test_cancel_matching_without_matches_does_not_ask(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(AssertionError))

    assert run(["splits", "cancel-matching", "--filename", "nothing"]) == 0

    assert capsys.readouterr().err == "0 splits would be cancelled\nnothing was cancelled\n"
    assert sent(emulator) == 0


def test_cancel_matching_without_a_terminal_needs_yes(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert run(["splits", "cancel-matching"]) == 2

    assert "pass --yes to cancel without a question" in capsys.readouterr().err
    assert emulator.requests == []


@pytest.mark.parametrize("words", [("--dry-run",), ("--yes",)])
def test_cancel_matching_exits_1_if_the_list_fails(
    words: tuple[str, ...], emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits", Fault.status(403))

    assert run(["splits", "cancel-matching", *words]) == 1

    assert "Error: Forbidden (GET /v1/splits" in capsys.readouterr().err


def test_cancel_matching_rejects_an_invalid_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "cancel-matching", "--from-date", "yesterday"]) == 2

    assert "neither a date" in capsys.readouterr().err


class TestAllKinds:
    """`retab-async cancel-matching`."""

    NOT_COVERED = "not covered, because the API does not list them: schemas, files.blueprints\n"

    def seed(self, emulator: Emulator) -> None:
        for kind in RESOURCES:
            emulator.seed(kind, 2)

    def test_active_runs_of_all_listed_kinds_are_cancelled_and_the_others_are_named(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.seed(emulator)

        code = run(["cancel-matching", "--yes"])

        captured = capsys.readouterr()
        assert (code, captured.err, sent(emulator)) == (0, self.NOT_COVERED, 2 * len(MATCHING))
        assert figures(captured.out)["cancelled"] == str(2 * len(MATCHING))
        assert len(emulator.active_runs()) == 2 * (len(RESOURCES) - len(MATCHING))

    def test_dry_run_is_an_input_of_cancel(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        self.seed(emulator)

        code = run(["cancel-matching", "--dry-run"])

        captured = capsys.readouterr()
        assert (code, sent(emulator)) == (0, 0)
        assert captured.err.startswith(f"{2 * len(MATCHING)} runs would be cancelled: classifications 2  edits 2")
        assert captured.err.endswith(self.NOT_COVERED)
        Path("runs.tsv").write_text(captured.out)
        assert run(["cancel", "--from-file", "runs.tsv"]) == 0
        assert sent(emulator) == 2 * len(MATCHING)

    def test_dry_run_on_a_terminal_has_columns(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")
        (run_id,) = emulator.seed("workflows/runs")

        run(["cancel-matching", "--dry-run"])

        assert f"workflows.runs              {run_id}" in capsys.readouterr().out

    @pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2)])
    def test_question_names_the_kinds(
        self,
        answer: str,
        left: int,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        emulator.seed("splits")
        emulator.seed("parses")

        assert run(["cancel-matching", "--from-date", "2020-01-01"]) == int(left > 0)

        found = "2 runs would be cancelled: parses 1  splits 1\n"
        assert capsys.readouterr().err.startswith(f"{found}{self.NOT_COVERED}Cancel them? [y/N]:")
        assert len(emulator.active_runs()) == left

    def test_refused_list_of_one_kind_exits_1_after_the_other_kinds(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.seed(emulator)
        emulator.fail("GET /v1/workflows/runs", Fault.status(403))

        assert run(["cancel-matching", "--yes"]) == 1

        assert "Error: Forbidden (GET /v1/workflows/runs" in capsys.readouterr().err
        assert sent(emulator) == 2 * len(MATCHING) - 2

    @pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("n\n", 4)])
    def test_question_is_asked_about_the_other_kinds_if_one_list_is_refused(
        self,
        answer: str,
        left: int,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        emulator.seed("splits", 2)
        emulator.seed("workflows/runs", 2)
        emulator.fail("GET /v1/workflows/runs", *[Fault.status(403)] * 2)

        assert run(["cancel-matching"]) == 1

        refused, found, not_covered, question = capsys.readouterr().err.splitlines(keepends=True)[:4]
        assert refused.startswith("list refused: Forbidden (GET /v1/workflows/runs")
        assert (found, not_covered) == ("2 runs would be cancelled: splits 2\n", self.NOT_COVERED)
        assert question.startswith("Cancel them?")
        assert len(emulator.active_runs()) == left

    def test_refused_list_without_other_matches_exits_1(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(AssertionError))
        emulator.fail("GET /v1/parses", Fault.status(403))

        assert run(["cancel-matching"]) == 1

        found = f"0 runs would be cancelled\n{self.NOT_COVERED}nothing was cancelled\n"
        assert capsys.readouterr().err.endswith(found)

    def test_dry_run_with_a_refused_list_prints_the_total_and_exits_1(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        emulator.seed("splits", 2)
        emulator.fail("GET /v1/workflows/runs", Fault.status(403))

        assert run(["cancel-matching", "--dry-run"]) == 1

        captured = capsys.readouterr()
        assert len(captured.out.splitlines()) == 2
        assert captured.err.startswith("list refused: Forbidden (GET /v1/workflows/runs")
        assert captured.err.endswith(f"\n2 runs would be cancelled: splits 2\n{self.NOT_COVERED}")

    @pytest.mark.parametrize("words", [(), ("--dry-run",), ("--yes",)])
    def test_refusal_of_the_caller_exits_1_without_a_question(
        self,
        words: tuple[str, ...],
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(AssertionError))
        emulator.fail("GET /v1/workflows/runs", Fault.status(401))

        assert run(["cancel-matching", *words]) == 1

        assert "Error: Unauthorized (GET /v1/workflows/runs" in capsys.readouterr().err
        assert len(emulator.requests) == 1
