"""`wait`: one or several runs, as they end."""

import json
import os
import pty
import signal
from collections.abc import Iterator

import pytest
from test_cli import command, interrupting, read_to_the_end, read_until, served

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault

BAD = {"code": "bad_document", "message": "no pages"}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test, and are looked at often."""
    with served(monkeypatch, queued=60, running=60, poll_after=0.06) as emulator:
        yield emulator


def test_each_is_printed_as_it_ends(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (late,) = emulator.seed("splits", queued=0.4, running=0.2)
    (soon,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "wait", late, soon, late])

    said = capsys.readouterr()
    assert code == 0
    assert said.out == f"{soon}\tcompleted\t\n{late}\tcompleted\t\n"
    assert said.err.splitlines()[:2] == [f"{late} queued", f"{soon} completed"]
    assert said.err.splitlines()[-1] == f"{late} completed"


def test_json_is_the_run_with_its_output(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)

    run(["splits", "wait", "--json", done])

    ended = json.loads(capsys.readouterr().out)
    assert (ended["id"], bool(ended["output"])) == (done, True)


def test_a_run_that_failed_makes_exit_1_and_says_why(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (failed,) = emulator.seed("splits", queued=0, running=0, error=BAD)
    (done,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "wait", failed, done])

    assert code == 1
    assert set(capsys.readouterr().out.splitlines()) == {
        f"{failed}\tfailed\tbad_document: no pages",
        f"{done}\tcompleted\t",
    }


def test_ids_that_cannot_be_waited_for_are_told_and_the_others_printed(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    (slow,) = emulator.seed("splits")

    code = run(["splits", "wait", "a/b", "splt_unknown", slow, done, "--timeout", "2"])

    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("Error: ")]
    assert code == 1
    assert said.out == f"{done}\tcompleted\t\n"
    assert len(errors) == 3
    assert all(any(name in line for line in errors) for name in ("'a/b'", "splt_unknown", slow))
    assert emulator.active_runs() == [slow]


def test_a_timeout_that_is_none_is_wrong_usage(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "wait", "splt_1", "--timeout", "inf"]) == 2

    assert "a finite number of seconds" in capsys.readouterr().err


def test_interrupted_it_leaves_the_runs_going_on_and_says_so(emulator: Emulator) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    slow = emulator.seed("splits", 2)
    with command("splits", "wait", done, *slow) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{done}\tcompleted\t\n"

        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert err.endswith(f"left going on: {slow[0]} {slow[1]}\n\ninterrupted\n")
    assert emulator.active_runs() == slow


def test_interrupted_before_anything_was_seen_it_says_so_of_all(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (slow,) = emulator.seed("splits")
    emulator.fail("GET /v1/splits/{id}", Fault.hang())

    with interrupting(lambda: emulator.requests):
        code = run(["splits", "wait", slow])

    assert code == 130
    assert capsys.readouterr().err.startswith(f"left going on: {slow}\n")


def test_on_a_terminal_a_line_counts_them_and_keeps_clear_of_what_is_printed(emulator: Emulator) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)
    (slow,) = emulator.seed("splits")
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "wait", done, slow, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        said = read_until(master, "completed 1  queued 1")

        process.send_signal(signal.SIGINT)
        shown = said + read_to_the_end(master)
        process.wait(timeout=20)

    assert process.returncode == 130
    assert f"\x1b[2K{done}   \x1b[32mcompleted\x1b[0m\r\n" in shown
    assert f"\x1b[2Kleft going on: {slow}\r\n" in shown


def test_on_a_terminal_several_are_counted(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    run(["splits", "wait", *emulator.seed("splits", 2, queued=0, running=0)])

    assert "completed 2" in capsys.readouterr().err


def test_with_a_terminal_for_stderr_stdout_still_gets_its_own(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (done,) = emulator.seed("splits", queued=0.2, running=0)

    code = run(["splits", "wait", "--json", done])

    said = capsys.readouterr()
    assert code == 0
    assert json.loads(said.out)["id"] == done
    assert f"{done} queued" in said.err
