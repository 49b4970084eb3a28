"""Ctrl-C while many runs are cancelled: what is finished, what is said, and how it goes on from there."""

import asyncio
import json
import os
import pty
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_cli import command, interrupting, read_to_the_end, read_until, served, wait_until
from test_cli_bulk import figures, listed

from retab_async.bulk import CancelJob
from retab_async.cli import run
from retab_async.cli.sigint import GracefulInterrupt
from retab_async.emulator import Emulator, Fault

CANCEL = "POST /v1/splits/{id}/cancel"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that takes its time, and a directory of one's own."""
    monkeypatch.chdir(tmp_path)
    with served(monkeypatch, queued=60, running=60, latency=0.1) as emulator:
        yield emulator


def test_it_finishes_what_is_in_flight_and_says_how_to_go_on(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 100)
    line = ["splits", "cancel", "--from-file", listed(ids, "the ids.txt"), "--journal", "j.jsonl", "--concurrency", "4"]
    with command(*line) as process:
        wait_until(lambda: len(emulator.requests) > 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    done = int(figures(out)["cancelled"])
    assert process.returncode == 130
    assert err == (
        "finishing what is in flight; Ctrl-C again ends it at once\n"
        f"interrupted: {done} done\n"
        "to go on from here:\n"
        "    retab-async splits cancel --from-file 'the ids.txt' --journal j.jsonl --concurrency 4\n"
    )
    assert 20 <= done < 100
    assert (
        len(Path("j.jsonl").read_text().splitlines())
        == done
        == len(emulator.requests)
        == 100 - len(emulator.active_runs())
    )

    with command(*line) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert (figures(out)["cancelled"], figures(out)["of these before"]) == ("100", str(done))
    assert len(emulator.requests) == 100


def test_killed_it_goes_on_by_the_same_command(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 100)
    line = ["splits", "cancel", "--from-file", listed(ids), "--journal", "j.jsonl", "--concurrency", "4"]
    journal = Path("j.jsonl")
    with command(*line) as process:
        wait_until(lambda: journal.exists() and journal.stat().st_size)
        process.kill()
        process.communicate(timeout=20)
    before = [json.loads(each)["run_id"] for each in journal.read_text().splitlines()]

    with command(*line) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err, emulator.active_runs()) == (0, "", [])
    assert (figures(out)["cancelled"], figures(out)["of these before"]) == ("100", str(len(before)))
    assert 0 < len(before) < 100
    sends = Counter(request.path.split("/")[-2] for request in emulator.requests)
    assert {sends[run_id] for run_id in before} == {1}


def test_it_ends_though_a_pipe_has_no_end(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 3)
    out, into = os.pipe()
    with command("splits", "cancel", "--from-file", "-", "--journal", "j.jsonl", "--json", stdin=out) as process:
        os.write(into, "".join(f"{run_id}\n" for run_id in ids).encode())
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in ids]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    os.close(out)
    os.close(into)

    assert (process.returncode, {each["disposition"] for each in told}) == (130, {"cancelled"})
    assert "to go on from here, with the same ids on stdin:\n    retab-async splits cancel --from-file - " in err


def test_without_a_journal_it_says_that_there_are_journals(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) > 5):
        code = run(["splits", "cancel", *ids, "--concurrency", "2"])

    said = capsys.readouterr()
    done = len(said.out.splitlines())
    assert (code, said.out.count("\tcancelled\tcancelled\t")) == (130, done)
    assert said.err.endswith(f"interrupted: {done} done\nwith --journal FILE the same command would go on from here\n")


def test_what_matches_goes_on_by_the_same_command(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) > 10):
        code = run(["splits", "cancel-matching", "--yes", "--concurrency", "2"])

    assert code == 130
    assert capsys.readouterr().err.endswith(
        "to go on from here:\n    retab-async splits cancel-matching --yes --concurrency 2\n"
    )


def test_what_waits_to_be_sent_does_not_hold_it_up(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = emulator.seed("splits", 300)

    with interrupting(lambda: len(emulator.requests) == 5):
        code = run(["splits", "cancel", "--from-file", listed(ids), "--rate-limit", "5/3600"])

    told = figures(capsys.readouterr().out)
    assert (code, told["cancelled"]) == (130, "5")
    assert float(told["seconds"]) < 5


def test_a_second_one_ends_it_at_once(emulator: Emulator) -> None:
    (slow,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.hang())
    with command("splits", "cancel", slow) as process:
        wait_until(lambda: emulator.requests)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)

    assert (process.returncode, out) == (130, "")
    assert err.startswith("interrupted: 0 done\n")


def test_after_a_second_one_it_is_left_to_others_to_end_it(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (slow,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.hang())
    before = signal.getsignal(signal.SIGINT)

    with interrupting(lambda: emulator.requests), interrupting(lambda: _is_interrupted_for(0.3, emulator)):
        code = run(["splits", "cancel", slow])

    assert (code, signal.getsignal(signal.SIGINT)) == (130, before)
    assert capsys.readouterr().err.count("\n") == 3


def test_what_never_answers_is_given_up(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retab_async.cli.sigint._LONGEST", 0.3)
    (slow,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.hang())

    with interrupting(lambda: emulator.requests):
        code = run(["splits", "cancel", slow])

    assert code == 130
    assert "interrupted: 0 done" in capsys.readouterr().err


def test_on_a_terminal_the_board_keeps_clear_of_what_is_said(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 300)
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    line = ("splits", "cancel", "--from-file", listed(ids), "--concurrency", "4")
    with command(*line, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        said = read_until(master, "/300 ")
        wait_until(lambda: len(emulator.requests) > 40)
        process.send_signal(signal.SIGINT)
        said += read_to_the_end(master)
        process.wait(timeout=20)

    assert process.returncode == 130
    assert "\x1b[2Kfinishing what is in flight; Ctrl-C again ends it at once\r\n" in said
    assert " left" in said
    assert "4 of 8 in flight" in said
    assert said.endswith("with --journal FILE the same command would go on from here\r\n")


def test_json_on_the_same_terminal_is_not_drawn_over(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 3)
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "cancel", *ids, "--json", stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        said = read_to_the_end(master)
        process.wait(timeout=20)

    assert process.returncode == 0
    assert [json.loads(each)["id"] for each in said.splitlines()] == ids


class Job(CancelJob[Any]):
    def __init__(self) -> None:
        """Be none."""


async def test_it_is_heard_though_nothing_else_wakes_the_loop() -> None:
    looks = 0

    def in_flight() -> int:
        nonlocal looks
        looks += 1
        return 0

    # A signal that comes right before the loop falls asleep does not wake it: it has to wake of itself.
    async with GracefulInterrupt(Job(), in_flight):
        await asyncio.sleep(0.5)

    assert looks >= 3


async def test_a_timeout_from_elsewhere_passes() -> None:
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
