"""`process`: documents of a command line, of a pattern and of a list; the records, the journal and signals."""

import csv
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from cli_harness import figures, interrupting, served_emulator, wait_until, write_lines

from retab_async.cli import record_file, run
from retab_async.cli.progress import format_report
from retab_async.cli.record_file import open_record_file
from retab_async.emulator import Emulator, Fault, ManualClock
from retab_async.process import ProcessReport

SPLIT = ("--subdocument", "invoice")
SCHEMA = '{"type": "object", "properties": {"total": {"type": "number"}}}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with five documents in `docs`."""
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    for number in range(5):
        Path(f"docs/{number}.pdf").write_bytes(b"%%PDF %d" % number)
    return tmp_path


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with served_emulator(monkeypatch, queued=0, running=0) as emulator:
        yield emulator


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Emulator]:
    """An emulator whose runs finish when the test advances its clock."""
    with served_emulator(monkeypatch, queued=600, clock=clock) as emulator:
        yield emulator


@contextmanager
def finishing_soon(emulator: Emulator, clock: ManualClock) -> Iterator[None]:
    """Finish the runs once all five are active."""

    def finish() -> None:
        wait_until(lambda: len(emulator.active_runs()) == 5)
        clock.advance(1000)

    thread = threading.Thread(target=finish)
    thread.start()
    yield
    thread.join()


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_records_are_printed_as_json_lines(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["splits", "process", "docs/0.pdf", "docs/1.pdf", *SPLIT])

    captured = capsys.readouterr()
    found = [json.loads(line) for line in captured.out.splitlines()]
    assert (code, captured.err) == (0, "")
    assert {row["item"] for row in found} == {"docs/0.pdf", "docs/1.pdf"}
    assert {row["status"] for row in found} == {"completed"}


def test_pattern_is_expanded_and_records_are_written_to_a_file(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        ["extractions", "process", "docs/*.pdf", "--schema", SCHEMA, "--out", "out.ndjson", "--concurrency", "2"]
    )

    found = records("out.ndjson")
    assert code == 0
    assert sorted(row["item"] for row in found) == [f"docs/{number}.pdf" for number in range(5)]
    assert {row["output.total"] for row in found} == {1.0}
    report = figures(capsys.readouterr().out)
    assert (report["completed"], report["credits"]) == ("5", str(sum(int(row["credits"]) for row in found)))


def test_list_of_documents_is_read_from_a_file(emulator: Emulator) -> None:
    path = write_lines(["# invoices", "docs/0.pdf", "", " https://example.com/a.pdf "])

    code = run(["splits", "process", "--from-file", path, *SPLIT, "--out", "out.ndjson"])

    assert code == 0
    assert {row["item"] for row in records("out.ndjson")} == {"docs/0.pdf", "https://example.com/a.pdf"}


def test_csv_has_the_columns_of_all_records(emulator: Emulator) -> None:
    emulator.fail("POST /v1/extractions", Fault.status(422, body={"detail": "=unsupported"}))

    code = run(["extractions", "process", "docs/*.pdf", "--schema", SCHEMA, "--out", "out.csv", "--concurrency", "1"])

    found = rows("out.csv")
    assert code == 1
    assert [row["status"] for row in found] == ["rejected", *["completed"] * 4]
    assert [row["output.total"] for row in found] == ["", *["1.0"] * 4]
    assert found[0]["error"].startswith("'=unsupported")
    assert sorted(each.name for each in Path().iterdir()) == ["docs", "out.csv"]


def test_failures_are_listed_and_exit_with_1(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"absent{number}.pdf" for number in range(22)]

    code = run(["splits", "process", *files, *SPLIT, "--out", "out.ndjson"])

    captured = capsys.readouterr()
    assert code == 1
    assert "absent0.pdf: invalid: 'absent0.pdf' cannot be read: No such file or directory" in captured.err
    assert captured.err.endswith("and 2 more failures\n")
    assert figures(captured.out)["invalid"] == "22"


def test_hint_to_resume_does_not_repeat_thousands_of_paths(slow: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"docs/{number % 5}.pdf" for number in range(200)]

    with interrupting(lambda: len(slow.active_runs()) == 5):
        run(["splits", "process", *files, *SPLIT, "--journal", "j.jsonl", "--quiet"])

    assert capsys.readouterr().err.endswith("interrupted: 0 done\nto resume: repeat the same command\n")


@pytest.mark.parametrize("out", ["out.ndjson", "out.csv"])
def test_interrupted_job_cancels_its_runs_and_the_same_command_resumes(
    out: str, slow: Emulator, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["splits", "process", "docs/*.pdf", *SPLIT, "--out", out, "--journal", "j.jsonl"]

    with interrupting(lambda: len(slow.active_runs()) == 5):
        code = run(line)

    captured = capsys.readouterr()
    assert (code, slow.active_runs()) == (130, [])
    assert captured.err.startswith("cancelling the runs in flight; press Ctrl-C again to stop at once\n")
    assert "interrupted: 0 done\nto resume:\n    retab-async splits process 'docs/*.pdf' --subdocument" in captured.err
    with finishing_soon(slow, clock):
        assert run(line) == 0
    found = records(out) if out.endswith("ndjson") else rows(out)
    assert len(found) == 5


def test_terminated_job_without_a_journal_says_how_to_resume(
    slow: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    with interrupting(lambda: len(slow.active_runs()) == 5, signal.SIGTERM):
        code = run(["splits", "process", "docs/*.pdf", *SPLIT])

    assert (code, slow.active_runs()) == (143, [])
    assert capsys.readouterr().err.endswith("with --journal FILE, the same command would resume\n")


@pytest.mark.parametrize("out", ["out.ndjson", "out.csv"])
def test_resumed_job_adds_its_rows_and_repeats_none(out: str, emulator: Emulator) -> None:
    line = ["splits", "process", *SPLIT, "--out", out, "--journal", "j.jsonl", "--concurrency", "1"]
    emulator.fail("POST /v1/splits", Fault.status(422))
    run([*line, "docs/0.pdf", "docs/1.pdf"])
    if out.endswith("ndjson"):
        with Path(out).open("ab") as torn:
            torn.write(b'{"item": "docs/')

    code = run([*line, *(f"docs/{number}.pdf" for number in range(5))])

    found = records(out) if out.endswith("ndjson") else rows(out)
    assert code == 1
    assert [row["item"] for row in found] == [f"docs/{number}.pdf" for number in range(5)]
    assert sum(request.path == "/v1/splits" and request.method == "POST" for request in emulator.requests) == 5


@pytest.mark.parametrize("out", ["new.ndjson", "new.csv"])
def test_finished_job_with_a_new_file_writes_all_rows_again(out: str, emulator: Emulator) -> None:
    line = ["splits", "process", "docs/*.pdf", *SPLIT, "--journal", "j.jsonl", "--concurrency", "1"]
    emulator.fail("POST /v1/splits", Fault.status(422))
    run([*line, "--out", f"first.{out}"])
    sent = len(emulator.requests)

    for expected in (4, 0):
        assert run([*line, "--out", out]) == 1
        assert len(emulator.requests) - sent == expected
        sent = len(emulator.requests)

    assert Path(out).read_text() == Path(f"first.{out}").read_text()
    found = records(out) if out.endswith("ndjson") else rows(out)
    assert [row["status"] for row in found] == ["rejected", *["completed"] * 4]


def test_finished_job_without_a_file_prints_all_records_again(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["splits", "process", "docs/*.pdf", *SPLIT, "--journal", "j.jsonl", "--concurrency", "1"]
    run(line)
    first = capsys.readouterr().out

    assert run(line) == 0
    assert capsys.readouterr().out == first


def test_csv_without_rows_has_a_header(emulator: Emulator) -> None:
    assert run(["splits", "process", "--from-file", write_lines(["# none"]), *SPLIT, "--out", "out.csv"]) == 0

    assert Path("out.csv").read_text() == "item,run_id,status,error,credits\n"


def test_run_that_has_a_row_gets_no_second_one(tmp_path: Path) -> None:
    record: dict[str, Any] = {"item": "a", "run_id": "splt_1"}
    for _ in range(2):
        with open_record_file("out.ndjson", may_continue=True) as file:
            file.write(record)
            file.write({"item": "b", "run_id": None})

    assert [row["run_id"] for row in records("out.ndjson")] == ["splt_1", None, None]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give FILE..., or --from-file"),
        (["docs/0.pdf", "--from-file", "list.txt"], "not both"),
        (["docs"], "docs is a directory: give 'docs/*.pdf'"),
        (["absent/*.pdf"], "no file matches 'absent/*.pdf'"),
        (["docs/0.pdf", "--out", "full.ndjson"], "full.ndjson is not empty: choose another file, or pass --journal"),
        (["docs/0.pdf", "--out", "absent/out.ndjson"], "absent/out.ndjson cannot be written: No such file"),
        (["docs/0.pdf", "--out", "full.ndjson", "--journal", "j"], "full.ndjson is not a file of records"),
        (["docs/0.pdf", "--journal", "full.ndjson"], "it is not a journal"),
    ],
)
def test_wrong_usage_sends_nothing(
    arguments: list[str], reason: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(["not a record"], "full.ndjson")

    code = run(["splits", "process", *arguments, *SPLIT])

    assert code == 2
    assert reason in capsys.readouterr().err
    assert emulator.requests == []
    assert Path("full.ndjson").read_text() == "not a record\n"


def test_refusal_of_the_caller_and_an_outage_are_reported(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.status(402, body={"detail": "out of credits"}))
    assert run(["splits", "process", "docs/*.pdf", *SPLIT, "--concurrency", "1"]) == 1
    assert "the API refused the caller, the remaining documents were not processed: out of" in capsys.readouterr().err

    emulator.fail("POST /v1/splits", *[Fault.status(429, retry_after=3600)] * 5)
    assert run(["splits", "process", "docs/*.pdf", *SPLIT]) == 1
    assert "API unavailable for too long; the remaining documents were not" in capsys.readouterr().err


def test_file_of_records_that_cannot_be_written_ends_the_job(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        msg = "out.ndjson cannot be written: No space left on device"
        raise click.ClickException(msg)

    monkeypatch.setattr(record_file.RecordFile, "write", fail)

    code = run(["splits", "process", "docs/*.pdf", *SPLIT, "--out", "out.ndjson"])

    assert code == 1
    assert "Error: out.ndjson cannot be written: No space left on device" in capsys.readouterr().err
    assert emulator.active_runs() == []


def test_full_disk_is_an_error_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full, open_record_file("out", may_continue=False) as file:
        monkeypatch.setattr(file, "_file", full)
        with pytest.raises(click.ClickException, match="out cannot be written: No space left"):
            file.write({"run_id": None})


def test_csv_that_cannot_be_replaced_keeps_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with (
        pytest.raises(click.ClickException, match=r"out\.csv cannot be written"),
        open_record_file("out.csv", may_continue=False) as file,
    ):
        file.write({"item": "a", "run_id": None})

    assert sorted(each.name for each in Path().iterdir()) == [".out.csv.part", "docs"]


def test_journal_that_breaks_is_reported(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retab_async.journal.journal.append", fail)
    code = run(["splits", "process", "docs/*.pdf", *SPLIT, "--out", "out.ndjson", "--journal", "j.jsonl"])

    error = capsys.readouterr().err
    assert code == 1
    assert "Error: journal 'j.jsonl' cannot be written: No space left on device" in error
    assert "not in the journal: 1" in error


def test_progress_has_the_runs_and_the_credits() -> None:

    report = ProcessReport(counts=Counter(), failures=(), elapsed=1, started=1200, active=30, credits=12.5)

    assert format_report(report) == "started 1,200  running 30  credits 12.5"
