"""`wait`: runs as they finish, failures, and Ctrl-C."""

import json
import os
import pty
import signal
from collections.abc import Iterator

import pytest
from cli_harness import command, interrupting, read_to_end, read_until, served_emulator

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault

BAD = {"code": "bad_document", "message": "no pages"}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test, and are polled often."""
    with served_emulator(monkeypatch, queued=60, running=60, poll_after=0.06) as emulator:
        yield emulator


def test_wait_prints_each_run_when_it_finishes(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (late,) = emulator.seed("splits", queued=0.4, running=0.2)
    (soon,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "wait", late, soon, late])

    captured = capsys.readouterr()
    assert code == 0
    assert captured.out == f"{soon}\tcompleted\t\n{late}\tcompleted\t\n"
    assert captured.err.splitlines()[:2] == [f"{late} queued", f"{soon} completed"]
    assert captured.err.splitlines()[-1] == f"{late} completed"


def test_wait_json_is_the_run_with_its_output(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)

    run(["splits", "wait", "--json", done])

    ended = json.loads(capsys.readouterr().out)
    assert (ended["id"], bool(ended["output"])) == (done, True)


def test_wait_exits_1_and_prints_the_error_of_a_failed_run(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (failed,) = emulator.seed("splits", queued=0, running=0, error=BAD)
    (done,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "wait", failed, done])

    assert code == 1
    assert set(capsys.readouterr().out.splitlines()) == {
        f"{failed}\tfailed\tbad_document: no pages",
        f"{done}\tcompleted\t",
    }


def test_wait_prints_an_error_for_each_id_it_cannot_await(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.polling.state._FIRST_INTERVAL", 0.05)
    (done,) = emulator.seed("splits", queued=0, running=0)
    (slow,) = emulator.seed("splits")

    code = run(["splits", "wait", "a/b", "splt_unknown", slow, done, "--timeout", "0.6"])

    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("Error: ")]
    assert code == 1
    assert captured.out == f"{done}\tcompleted\t\n"
    assert len(errors) == 3
    assert all(any(name in line for line in errors) for name in ("'a/b'", "splt_unknown", slow))
    assert emulator.active_runs() == [slow]


def test_wait_rejects_an_infinite_timeout(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "wait", "splt_1", "--timeout", "inf"]) == 2

    assert "a finite number of seconds" in capsys.readouterr().err


def test_wait_interrupted_prints_the_runs_that_continue(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    slow = emulator.seed("splits", 2)

    # Each slow run is polled again: the response for the one that is done has arrived.
    with interrupting(lambda: len(emulator.requests) > 6):
        code = run(["splits", "wait", done, *slow])

    captured = capsys.readouterr()
    assert (code, captured.out, emulator.active_runs()) == (130, f"{done}\tcompleted\t\n", slow)
    assert captured.err.endswith(f"still running: {slow[0]} {slow[1]}\n\ninterrupted\n")


def test_wait_interrupted_before_the_first_response_prints_all_ids(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (slow,) = emulator.seed("splits")
    emulator.fail("GET /v1/splits/{id}", Fault.hang())

    with interrupting(lambda: emulator.requests):
        code = run(["splits", "wait", slow])

    assert code == 130
    assert capsys.readouterr().err.startswith(f"still running: {slow}\n")


@pytest.mark.slow
@pytest.mark.subprocess
def test_wait_on_a_terminal_keeps_its_live_line_below_the_output(emulator: Emulator) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    (slow,) = emulator.seed("splits")
    row = f"\x1b[2K{done}   \x1b[32mcompleted\x1b[0m\r\n"
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "wait", done, slow, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        output = read_until(master, "completed 1  queued 1")
        if row not in output:
            output += read_until(master, "completed\x1b[0m\r\n")

        process.send_signal(signal.SIGINT)
        shown = output + read_to_end(master)
        process.wait(timeout=60)

    assert process.returncode == 130
    assert row in shown
    assert f"\x1b[2Kstill running: {slow}\r\n" in shown


def test_wait_on_a_terminal_counts_the_runs(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    run(["splits", "wait", *emulator.seed("splits", 2, queued=0, running=0)])

    assert "completed 2" in capsys.readouterr().err


def test_wait_with_a_live_line_prints_json_on_stdout(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (done,) = emulator.seed("splits", queued=0.2, running=0)

    code = run(["splits", "wait", "--json", done])

    captured = capsys.readouterr()
    assert code == 0
    assert json.loads(captured.out)["id"] == done
    assert f"{done} queued" in captured.err
