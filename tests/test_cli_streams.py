"""Standard streams: any encoding, a full disk, a closed pipe, a lost terminal."""

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from cli_harness import command, journal_entries, served_emulator, write_lines

from retab_async.cli import run
from retab_async.emulator import Emulator

FILENAME = "Łódź 請求書.pdf"
SPLIT = ("--subdocument", "invoice")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.fixture(params=["full", "pipe"])
def broken(request: pytest.FixtureRequest) -> Iterator[tuple[IO[str], str]]:
    """A stream that cannot be written, and the reason."""
    if request.param == "full":
        with open("/dev/full", "w") as stream:  # noqa: PTH123 - a device
            yield stream, "No space left on device"
        return
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        yield stream, "Broken pipe"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--json"],
        ["get", "ID"],
        ["wait", "ID"],
        ["delete", "--yes", "ID"],
        ["cancel", "ID"],
        ["cancel", "--from-file", "ids.txt"],
        ["cancel-matching", "--yes"],
        ["cancel-matching", "--dry-run"],
    ],
    ids=" ".join,
)
def test_stdout_that_cannot_be_written_exits_1(
    arguments: list[str],
    broken: tuple[IO[str], str],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    (active,) = emulator.seed("splits")
    write_lines([active])
    monkeypatch.setattr("sys.stdout", broken[0])

    code = run(["splits", *[done if word == "ID" else word for word in arguments]])

    is_all = "--from-file" in arguments or arguments[:2] == ["cancel-matching", "--yes"]
    # A reader that has enough is no error, unless a job was cut short.
    is_reported = broken[1] != "Broken pipe" or is_all or arguments[0] == "cancel"
    assert code == 1
    assert (f"Error: stdout cannot be written: {broken[1]}\n" in capsys.readouterr().err) == is_reported
    assert (emulator.active_runs() == []) == is_all


def test_bulk_job_whose_stdout_breaks_finishes_the_requests_in_flight(
    broken: tuple[IO[str], str],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = write_lines(emulator.seed("splits", 200))
    monkeypatch.setattr("sys.stdout", broken[0])

    code = run(["splits", "cancel", "--from-file", ids, "--json", "--journal", "j.jsonl", "--concurrency", "4"])

    sent = len(emulator.requests)
    assert (code, 0 < sent < 200) == (1, True)
    assert len(journal_entries("j.jsonl")) == sent
    assert capsys.readouterr().err == f"Error: stdout cannot be written: {broken[1]}\n"


def test_create_whose_stdout_breaks_prints_the_id_on_stderr(
    broken: tuple[IO[str], str],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdout", broken[0])

    code = run(["splits", "create", "https://example.com/a.pdf", *SPLIT, "--background"])

    (run_id,) = emulator.active_runs()
    assert code == 1
    assert f"stdout cannot be written: {broken[1]}; the run is {run_id}\n" in capsys.readouterr().err


def test_closed_stdout_exits_1(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.seed("splits")
    monkeypatch.setattr("sys.stdout", None)

    assert run(["splits", "list"]) == 1

    assert "stdout cannot be written: it is closed" in capsys.readouterr().err


@pytest.mark.parametrize("stderr", ["full", "closed"])
def test_stderr_that_cannot_be_written_is_ignored(
    stderr: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    ids = emulator.seed("splits", 2)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr("sys.stderr", full if stderr == "full" else None)

        codes = run(["-vv", "splits", "cancel", *ids, "--json"]), run(["-vv", "splits", "get", "splt_unknown"])

    assert codes == (0, 1)
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "shift_jis", "utf-8"])
@pytest.mark.parametrize("terminal", [False, True])
def test_output_survives_every_encoding(
    *, encoding: str, terminal: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "300")
    Path(FILENAME).write_bytes(b"%PDF-1.7")
    stdout, stderr = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(stdout, encoding))
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(stderr, encoding))

    codes = [
        run(["splits", "create", FILENAME, *SPLIT, "--background"]),
        run(["splits", "list"]),
        run(["splits", "get", *emulator.active_runs()]),
        run(["splits", "cancel", *emulator.active_runs(), "Ł"]),
        run(["splits", "create", "Ł.pdf", *SPLIT]),
    ]

    (run_id,) = {request.path.split("/")[3] for request in emulator.requests if request.path.count("/") > 2}
    output, errors = stdout.getvalue().decode(encoding), stderr.getvalue().decode(encoding)
    assert codes == [0, 0, 0, 1, 2]
    assert output.count(run_id) >= 4
    assert FILENAME.encode(encoding, "backslashreplace").decode(encoding) in output
    assert "Ł.pdf".encode(encoding, "backslashreplace").decode(encoding) in errors
    assert sys.stdout.errors == sys.stderr.errors == "strict"


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_closed_pipe_ends_the_process_silently(environment: dict[str, str], emulator: Emulator) -> None:
    emulator.seed("splits", 1300)
    with command("splits", "list", "--all", env={**os.environ, **environment}) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1
