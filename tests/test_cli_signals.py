"""Signals: Ctrl-C, SIGTERM and SIGHUP end a bulk cancel in order, and other commands as Ctrl-C does."""

import asyncio
import json
import os
import pty
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from cli_harness import (
    command,
    figures,
    interrupting,
    journal_entries,
    read_to_end,
    read_until,
    served_emulator,
    wait_until,
    write_lines,
)

from retab_async.bulk import CancelJob
from retab_async.cli import run
from retab_async.cli.interrupt import GracefulInterrupt
from retab_async.cli.signals import TerminationSignals
from retab_async.emulator import Emulator, Fault

CANCEL = "POST /v1/splits/{id}/cancel"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """A slow emulator, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    with served_emulator(monkeypatch, queued=60, running=60, latency=0.1) as emulator:
        yield emulator


@pytest.mark.slow
def test_interrupt_finishes_the_requests_in_flight_and_prints_how_to_resume(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retab_async.cli.progress._FIRST_LINE_DELAY", 60)
    ids = emulator.seed("splits", 100)
    path = write_lines(ids, "the ids.txt")
    line = ["splits", "cancel", "--from-file", path, "--journal", "j.jsonl", "--concurrency", "4"]
    with interrupting(lambda: len(emulator.requests) > 20):
        code = run(line)

    captured = capsys.readouterr()
    done = int(figures(captured.out)["cancelled"])
    assert code == 130
    assert captured.err == (
        "finishing the requests in flight; press Ctrl-C again to stop at once\n"
        f"interrupted: {done} done\n"
        "to resume:\n"
        "    retab-async splits cancel --from-file 'the ids.txt' --journal j.jsonl --concurrency 4\n"
    )
    assert 20 <= done < 100
    assert len(journal_entries("j.jsonl")) == done == len(emulator.requests) == 100 - len(emulator.active_runs())

    code = run(line)

    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert (figures(captured.out)["cancelled"], figures(captured.out)["settled before"]) == ("100", str(done))
    assert len(emulator.requests) == 100


@pytest.mark.slow
@pytest.mark.subprocess
def test_killed_job_resumes_with_the_same_command(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 100)
    line = ["splits", "cancel", "--from-file", write_lines(ids), "--journal", "j.jsonl", "--concurrency", "4", "-q"]
    journal = Path("j.jsonl")
    with command(*line) as process:
        wait_until(lambda: journal.exists() and b"run_id" in journal.read_bytes())
        process.kill()
        process.communicate(timeout=60)
    before = [each["run_id"] for each in journal_entries("j.jsonl")]

    with command(*line) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err, emulator.active_runs()) == (0, "", [])
    assert (figures(out)["cancelled"], figures(out)["settled before"]) == ("100", str(len(before)))
    assert 0 < len(before) < 100
    sends = Counter(request.path.split("/")[-2] for request in emulator.requests)
    assert {sends[run_id] for run_id in before} == {1}


def test_interrupt_ends_a_job_on_an_open_pipe(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = emulator.seed("splits", 3)
    read, write = os.pipe()
    os.write(write, "".join(f"{run_id}\n" for run_id in ids).encode())

    with os.fdopen(read) as stdin, interrupting(lambda: not emulator.active_runs()):
        monkeypatch.setattr("sys.stdin", stdin)
        code = run(["splits", "cancel", "--from-file", "-", "--journal", "j.jsonl", "--json"])
    os.close(write)

    captured = capsys.readouterr()
    printed = [json.loads(line) for line in captured.out.splitlines()]
    assert (code, [each["disposition"] for each in printed]) == (130, ["cancelled"] * 3)
    assert "to resume, with the same ids on stdin:\n    retab-async splits cancel --from-file - " in captured.err


def test_interrupt_without_a_journal_mentions_the_option(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) > 5):
        code = run(["splits", "cancel", *ids, "--concurrency", "2"])

    captured = capsys.readouterr()
    done = len(captured.out.splitlines())
    assert (code, captured.out.count("\tcancelled\tcancelled\t")) == (130, done)
    assert captured.err.endswith(f"interrupted: {done} done\nwith --journal FILE, the same command would resume\n")


@pytest.mark.slow
def test_interrupted_cancel_matching_resumes_with_the_same_command(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) > 10):
        code = run(["splits", "cancel-matching", "--yes", "--concurrency", "2"])

    assert code == 130
    assert capsys.readouterr().err.endswith(
        "to resume:\n    retab-async splits cancel-matching --yes --concurrency 2\n"
    )


def test_interrupt_does_not_wait_for_ids_held_by_the_rate_limit(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) == 5):
        code = run(["splits", "cancel", "--from-file", write_lines(ids), "--rate-limit", "5/3600"])

    counts = figures(capsys.readouterr().out)
    assert (code, counts["cancelled"]) == (130, "5")
    assert float(counts["seconds"]) < 5


def test_second_interrupt_ends_the_job_at_once_and_restores_the_previous_handler(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (slow,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.hang())
    before = signal.getsignal(signal.SIGINT)

    with interrupting(lambda: emulator.requests), interrupting(lambda: _is_interrupted_for(0.3, emulator)):
        code = run(["splits", "cancel", slow])

    captured = capsys.readouterr()
    assert (code, captured.out, signal.getsignal(signal.SIGINT)) == (130, "", before)
    assert captured.err == (
        "finishing the requests in flight; press Ctrl-C again to stop at once\n"
        "interrupted: 0 done\n"
        "with --journal FILE, the same command would resume\n"
    )


def test_interrupt_gives_up_requests_after_the_grace_period(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retab_async.cli.interrupt._GRACE_PERIOD", 0.3)
    (slow,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.hang())

    with interrupting(lambda: emulator.requests):
        code = run(["splits", "cancel", slow])

    assert code == 130
    assert "interrupted: 0 done" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.subprocess
def test_interrupt_on_a_terminal_prints_above_the_progress(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 300)
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    line = ("splits", "cancel", "--from-file", write_lines(ids), "--concurrency", "4")
    with command(*line, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        captured = read_until(master, "/300")
        wait_until(lambda: len(emulator.requests) > 40)
        process.send_signal(signal.SIGINT)
        captured += read_to_end(master)
        process.wait(timeout=60)

    assert process.returncode == 130
    assert "\x1b[2Kfinishing the requests in flight; press Ctrl-C again to stop at once\r\n" in captured
    assert "/s" in captured
    assert "4 of 8 in flight" in captured
    assert captured.endswith("with --journal FILE, the same command would resume\r\n")


@pytest.mark.slow
@pytest.mark.subprocess
def test_json_on_a_terminal_is_printed_without_progress(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 3)
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "cancel", *ids, "--json", stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        captured = read_to_end(master)
        process.wait(timeout=60)

    assert process.returncode == 0
    assert [json.loads(each)["id"] for each in captured.splitlines()] == ids


class Job(CancelJob[Any]):
    def __init__(self) -> None:
        """Skip the base class: only `stop` is used."""


async def test_graceful_interrupt_propagates_a_timeout_of_its_body() -> None:
    async def time_out() -> None:
        async with GracefulInterrupt(Job(), lambda: 0), asyncio.timeout(0.01):
            await asyncio.sleep(1)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        await time_out()

    assert signal.getsignal(signal.SIGINT) is before


def _is_interrupted_for(seconds: float, emulator: Emulator) -> bool:
    wait_until(lambda: emulator.requests)
    threading.Event().wait(seconds)
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
class TestTermination:
    @pytest.mark.slow
    def test_bulk_cancel_finishes_the_requests_in_flight_and_prints_how_to_resume(
        self, number: int, code: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write_lines(emulator.seed("splits", 300))
        before = signal.getsignal(number)

        with interrupting(lambda: len(emulator.requests) > 20, number):
            exit_code = run(["splits", "cancel", "--from-file", path, "--journal", "j.jsonl", "--concurrency", "4"])

        captured = capsys.readouterr()
        done = int(figures(captured.out)["cancelled"])
        assert (exit_code, done, len(emulator.active_runs())) == (code, len(emulator.requests), 300 - done)
        assert f"interrupted: {done} done\nto resume:\n    retab-async splits cancel --from-file" in captured.err
        assert signal.getsignal(number) is before

    def test_create_wait_cancels_the_run(
        self, number: int, code: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with interrupting(lambda: any(each.method == "GET" for each in emulator.requests), number):
            exit_code = run(["splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"])

        assert (exit_code, emulator.active_runs()) == (code, [])
        assert " on the server\n" in capsys.readouterr().err

    def test_wait_prints_the_runs_that_continue(
        self, number: int, code: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (slow,) = emulator.seed("splits")

        with interrupting(lambda: emulator.requests, number):
            exit_code = run(["splits", "wait", slow])

        assert (exit_code, emulator.active_runs()) == (code, [slow])
        assert f"still running: {slow}\n" in capsys.readouterr().err

    def test_create_wait_and_bulk_cancel_listen_to_the_signal_themselves(
        self, number: int, code: int, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forwarded: list[int] = []
        original = TerminationSignals._forward

        def recorded(signals: TerminationSignals, number: int, frame: FrameType | None) -> None:
            forwarded.append(number)
            original(signals, number, frame)

        monkeypatch.setattr(TerminationSignals, "_forward", recorded)
        with interrupting(lambda: any(each.method == "GET" for each in emulator.requests), number):
            create_code = run(["splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"])
        ids = emulator.seed("splits", 300)
        before = len(emulator.requests)
        with interrupting(lambda: len(emulator.requests) > before + 5, number):
            cancel_code = run(["splits", "cancel", *ids, "--concurrency", "2"])

        assert (create_code, cancel_code, forwarded) == (code, code, [])

    def test_command_ends_though_sigint_is_ignored(self, number: int, code: int, emulator: Emulator) -> None:
        (slow,) = emulator.seed("splits")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with interrupting(lambda: any(each.method == "GET" for each in emulator.requests), number):
                exit_code = run(["splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"])
            with interrupting(lambda: any(slow in each.path for each in emulator.requests), number):
                wait_code = run(["splits", "wait", slow])
        finally:
            signal.signal(signal.SIGINT, before)

        assert (exit_code, wait_code, emulator.active_runs()) == (code, code, [slow])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ignored_signal_stays_ignored(number: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    path = write_lines(emulator.seed("splits", 40))
    try:
        with interrupting(lambda: len(emulator.requests) > 5, number):
            code = run(["splits", "cancel", "--from-file", path])
    finally:
        signal.signal(number, before)

    assert (code, figures(capsys.readouterr().out)["cancelled"]) == (0, "40")


@pytest.mark.slow
@pytest.mark.subprocess
def test_hangup_of_the_terminal_cancels_the_run(emulator: Emulator) -> None:
    master, slave = pty.openpty()
    arguments = ("splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait")
    environment = {**os.environ, "TERM": "xterm"}
    with command(*arguments, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        wait_until(lambda: any(each.method == "GET" for each in emulator.requests))
        # The terminal is gone: nothing can be printed any more.
        os.close(master)
        process.send_signal(signal.SIGHUP)
        code = process.wait(timeout=60)

    assert (code, emulator.active_runs()) == (129, [])
