"""`list`: filters, limits and output."""

import json
from collections.abc import Iterator
from inspect import signature
from operator import attrgetter
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cli_harness import served_emulator

from retab_async.cli import run
from retab_async.cli.list import list_command
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test."""
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def test_list_prints_id_status_date_and_filename(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = emulator.seed("splits", 3)

    code = run(["splits", "list"])

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ids[::-1]
    assert {(row[1], row[2][10::9], row[3]) for row in rows} == {("queued", "TZ", "sample.pdf")}


def test_list_json_prints_one_object_per_line(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = emulator.seed("splits", 3)

    run(["splits", "list", "--json", "--order", "asc"])

    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids


@pytest.mark.parametrize("option", ["--ids", "-q", "--quiet"])
def test_list_ids_prints_only_the_ids(
    option: str, emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    ids = emulator.seed("splits", 3)

    run(["splits", "list", option, "--order", "asc"])

    assert capsys.readouterr().out.splitlines() == ids


def test_list_with_ids_and_json_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--ids", "--json"]) == 2

    assert "give --ids or --json, not both" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--ids",), ("--json",)])
def test_output_of_list_is_an_input_of_cancel(
    options: tuple[str, ...],
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    emulator.seed("splits", 3)
    run(["splits", "list", *options])
    (tmp_path / "ids").write_text(capsys.readouterr().out)

    with (tmp_path / "ids").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        code = run(["splits", "cancel", "-"])

    assert (code, emulator.active_runs()) == (0, [])


@pytest.mark.parametrize(
    ("options", "rows", "pages"),
    [
        ((), 100, 1),
        (("--limit", "5"), 5, 1),
        (("--limit", "120"), 120, 2),
        (("--limit", "0"), 130, 2),
        (("--all",), 130, 2),
        (("--all", "--limit", "5"), 130, 2),
    ],
)
def test_list_requests_no_more_rows_than_its_limit(
    options: tuple[str, ...], rows: int, pages: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.seed("splits", 130)

    run(["splits", "list", *options])

    assert len(capsys.readouterr().out.splitlines()) == rows
    assert len(emulator.requests) == pages


def test_list_sends_its_filters(emulator: Emulator) -> None:
    days = ("--from-date", "2026-11-01", "--to-date", "2026-11-02T09:30:00+01:00")

    code = run(["splits", "list", "--status", "queued", "--filename", "batch", *days, "--limit", "7"])

    (request,) = emulator.requests
    assert code == 0
    assert set(request.query.split("&")) == {
        "limit=7",
        "order=desc",
        "status=queued",
        "filename=batch",
        "from_date=2026-11-01",
        "to_date=2026-11-02T09%3A30%3A00%2B01%3A00",
    }


@pytest.mark.parametrize("kind", [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "list")])
def test_list_has_an_option_for_each_argument_of_the_method(kind: str) -> None:
    options = [parameter.name for parameter in list_command(kind, kind).params]
    arguments = set(signature(attrgetter("list")(RESOURCES[kind])).parameters)

    assert len(options) == len(set(options))
    assert set(options) - {"all_rows", "as_json", "ids_only"} == arguments - {"self", "before", "after"}


# Options that only some kinds have, and the query they are sent as.
FILTERS = [
    ("edits", ("--template-id", "tmpl_1"), {"template_id": ["tmpl_1"]}),
    (
        "extractions",
        ("--filename-contains", "b", "--document-type", "pdf", "--document-type", "docx", "--metadata", "a=b=c"),
        {"filename_contains": ["b"], "document_type": ["pdf", "docx"], "metadata": ['{"a":"b=c"}']},
    ),
    (
        "workflows.runs",
        (
            *("--workflow-id", "wrk_1", "--exclude-status", "error", "--trigger-type", "api", "--search", "8"),
            *("--metadata", "a=1", "--metadata", "b=2", "--min-duration-ms", "0", "--max-duration-ms", "5"),
        ),
        {
            "workflow_id": ["wrk_1"],
            "exclude_status": ["error"],
            "trigger_type": ["api"],
            "search": ["8"],
            "metadata": ['{"a":"1","b":"2"}'],
            "min_duration_ms": ["0"],
            "max_duration_ms": ["5"],
        },
    ),
    (
        "workflows.evals.runs",
        ("--eval-id", "ev_1", "--target-block-id", "blk_1"),
        {"eval_id": ["ev_1"], "target_block_id": ["blk_1"]},
    ),
    (
        "workflows.experiments.runs",
        ("--experiment-id", "exp_1", "--block-id", "blk_1"),
        {"experiment_id": ["exp_1"], "block_id": ["blk_1"]},
    ),
]


@pytest.mark.parametrize(("kind", "options", "asked"), FILTERS, ids=[kind for kind, _, _ in FILTERS])
def test_list_sends_the_filters_of_its_kind(
    kind: str, options: tuple[str, ...], asked: dict[str, list[str]], emulator: Emulator
) -> None:
    code = run([*kind.split("."), "list", *options])

    (request,) = emulator.requests
    query = parse_qs(request.query)
    assert code == 0
    assert query == {"limit": ["100"], "order": ["desc"], **asked}


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "2026-11-02T09:30:00", ""])
def test_list_rejects_an_invalid_date(date: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--from-date", date]) == 2

    assert "neither a date" in capsys.readouterr().err


def test_list_rejects_an_empty_filename(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--filename", ""]) == 2

    assert "filename must be" in capsys.readouterr().err


def test_list_exits_1_after_the_pages_before_a_failure(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "splt_1", "status": "queued"}
    page = {"data": [row], "list_metadata": {"before": None, "after": "splt_1"}}
    emulator.fail("GET /v1/splits", Fault.status(200, body=page), Fault.status(403))

    code = run(["splits", "list"])

    captured = capsys.readouterr()
    assert code == 1
    assert captured.out == "splt_1\tqueued\t\t\n"
    assert captured.err.startswith("Error: Forbidden")


def test_list_on_a_terminal_aligns_columns(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    (run_id,) = emulator.seed("splits")

    run(["splits", "list"])

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{run_id.ljust(26)}  queued       20")
    assert line.endswith("Z  sample.pdf")
