"""`list`: which runs, how many, and how they are printed as they come."""

import json
import os
from collections.abc import Iterator

import pytest
from test_cli import command, served

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test."""
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.mark.parametrize("kind", RESOURCES)
def test_a_line_has_the_id_the_status_the_date_and_the_filename(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = emulator.seed(kind, 3)

    code = run([kind, "list"])

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ids[::-1]
    assert {(row[1], row[2][10::9], row[3]) for row in rows} == {("queued", "TZ", "sample.pdf")}


def test_json_is_one_object_a_line(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = emulator.seed("splits", 3)

    run(["splits", "list", "--json", "--order", "asc"])

    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids


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
def test_no_more_rows_are_printed_or_asked_for_than_wanted(
    options: tuple[str, ...], rows: int, pages: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.seed("splits", 130)

    run(["splits", "list", *options])

    assert len(capsys.readouterr().out.splitlines()) == rows
    assert len(emulator.requests) == pages


def test_the_filters_are_those_of_the_list(emulator: Emulator) -> None:
    days = ("--from-date", "2026-11-01", "--to-date", "2026-11-02T09:30:00+01:00")

    code = run(["splits", "list", "--status", "queued", "--filename", "batch", *days, "--limit", "7"])

    (asked,) = emulator.requests
    assert code == 0
    assert set(asked.query.split("&")) == {
        "limit=7",
        "order=desc",
        "status=queued",
        "filename=batch",
        "from_date=2026-11-01",
        "to_date=2026-11-02T09%3A30%3A00%2B01%3A00",
    }


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "2026-11-02T09:30:00", ""])
def test_a_date_that_is_none_is_wrong_usage(date: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--from-date", date]) == 2

    assert "neither a date" in capsys.readouterr().err


def test_what_the_api_would_refuse_is_wrong_usage(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--filename", ""]) == 2

    assert "filename must be" in capsys.readouterr().err


def test_what_the_api_refuses_exits_1_with_what_had_come(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "splt_1", "status": "queued"}
    page = {"data": [row], "list_metadata": {"before": None, "after": "splt_1"}}
    emulator.fail("GET /v1/splits", Fault.status(200, body=page), Fault.status(403))

    code = run(["splits", "list"])

    said = capsys.readouterr()
    assert code == 1
    assert said.out == "splt_1\tqueued\t\t\n"
    assert said.err.startswith("Error: Forbidden")


def test_on_a_terminal_the_rows_stand_in_columns(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    (run_id,) = emulator.seed("splits")

    run(["splits", "list"])

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{run_id.ljust(26)}  queued       20")
    assert line.endswith("Z  sample.pdf")


@pytest.mark.parametrize("colour", ["", "1"])
def test_a_reader_that_has_enough_is_no_accident(colour: str, emulator: Emulator) -> None:
    emulator.seed("splits", 1300)
    with command("splits", "list", "--all", env={**os.environ, "FORCE_COLOR": colour}) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == 1
