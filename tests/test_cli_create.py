"""`create`: what is sent, what is printed, and what becomes of the run when the command is left."""

import hashlib
import io
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_cli import command, interrupting, read_to_the_end, served, wait_until

from retab_async.cli import run
from retab_async.cli.create import ExitReport
from retab_async.emulator import Emulator, Fault

CONTENT = b"%PDF-1.7 a batch of invoices"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SPLIT = ("--subdocument", "invoice", "--subdocument", "receipt=What a=receipt looks like")
PARTITION = ("--key", "account", "--instructions", "One chunk for each account.")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose background runs go on for longer than any test."""
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose background runs are soon over."""
    with served(monkeypatch, queued=0.1, running=0.1, poll_after=0.06) as emulator:
        yield emulator


@pytest.fixture
def batch(tmp_path: Path) -> str:
    """The path of a document."""
    path = tmp_path / "batch.pdf"
    path.write_bytes(CONTENT)
    return str(path)


def test_create_prints_the_finished_run(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["splits", "create", batch, *SPLIT])

    said = capsys.readouterr()
    fields = dict(line.split("\t") for line in said.out.splitlines())
    assert code == 0
    assert (said.err, fields["status"]) == ("", "completed")
    assert emulator.document_of(fields["id"]).sha256 == DIGEST


def test_a_split_is_what_its_options_say(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--instructions", "T", "--model", "retab-large", "--n-consensus", "3", "--bust-cache")

    run(["splits", "create", batch, *SPLIT, *options, "--json"])

    split = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["description"]) for each in split["subdocuments"]] == [
        ("invoice", ""),
        ("receipt", "What a=receipt looks like"),
    ]
    assert (split["instructions"], split["model"], split["n_consensus"]) == ("T", "retab-large", 3)


@pytest.mark.parametrize(("options", "overlap"), [((), True), (("--no-allow-overlap",), False)])
def test_a_partition_is_what_its_options_say(
    options: tuple[str, ...], *, overlap: bool, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["partitions", "create", batch, *PARTITION, *options, "--json"])

    partition = json.loads(capsys.readouterr().out)
    assert (partition["key"], partition["allow_overlap"]) == ("account", overlap)


def test_a_run_in_the_background_is_one_line_with_its_id_first(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--background"])

    run_id, status, created, filename = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert code == 0
    assert (emulator.active_runs(), status, filename) == ([run_id], "queued", "batch.pdf")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)


def test_a_run_in_the_background_as_json_is_the_run(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["splits", "create", batch, *SPLIT, "--background", "--json"])

    assert [json.loads(capsys.readouterr().out)["id"]] == emulator.active_runs()


def test_a_run_that_failed_makes_exit_1(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"id": "splt_1", "status": "failed", "error": {"code": "bad_document", "message": "no pages"}}
    emulator.fail("POST /v1/splits", Fault.status(201, body=failed))

    code = run(["splits", "create", batch, *SPLIT])

    assert code == 1
    assert "no pages" in capsys.readouterr().out


def test_what_is_sent_twice_under_one_key_is_done_once(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        run(["splits", "create", batch, *SPLIT, "--background", "--idempotency-key", "K-1"])

    one, other = capsys.readouterr().out.splitlines()
    assert one == other
    assert [each.idempotency_key for each in emulator.requests] == ["K-1", "K-1"]


def test_a_document_is_read_from_stdin_though_it_is_a_pipe(emulator: Emulator) -> None:
    with command("splits", "create", "-", *SPLIT, "--background", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(CONTENT.decode(), timeout=20)

    received = emulator.document_of(out.split("\t")[0])
    assert (process.returncode, err) == (0, "")
    assert (received.sha256, received.filename) == (DIGEST, "document.pdf")


def test_a_document_is_read_from_stdin(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))

    run(["splits", "create", "-", *SPLIT, "--background"])

    run_id = capsys.readouterr().out.split("\t")[0]
    assert emulator.document_of(run_id).sha256 == DIGEST


def test_a_document_that_is_waited_for_on_stdin_can_be_interrupted(emulator: Emulator) -> None:
    read, write = os.pipe()
    with command("splits", "create", "-", *SPLIT, stdin=read) as process:
        # More than a pipe holds: when all of it is written, some of it has been read.
        os.write(write, bytes(200_000))

        process.send_signal(signal.SIGINT)
        # A signal that comes just before a read is seen after it.
        os.write(write, b".")
        _, err = process.communicate(timeout=20)

    os.close(read)
    os.close(write)
    assert (process.returncode, err.strip()) == (130, "interrupted")
    assert emulator.requests == []


class Unreadable(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise IsADirectoryError(21, "Is a directory")


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [(None, "stdin is closed"), (SimpleNamespace(buffer=Unreadable()), "cannot be read: Is a directory")],
)
def test_a_stdin_that_cannot_be_read_is_wrong_usage(
    stdin: Any, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)

    assert run(["splits", "create", "-", *SPLIT]) == 2

    assert reason in capsys.readouterr().err


def test_a_document_of_the_web_is_sent_by_its_address(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run(["splits", "create", "https://example.com/batches/batch%20one.pdf", *SPLIT, "--json"])

    assert json.loads(capsys.readouterr().out)["file"]["filename"] == "batch one.pdf"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere.pdf", *SPLIT), "'nowhere.pdf' cannot be read"),
        (("http://example.com/a.pdf", *SPLIT), "over https alone"),
        (("batch.pdf", "--subdocument", "=What is this"), "must be a string that is not blank"),
        (("batch.pdf", "--subdocument", "a", "--idempotency-key", "two words"), "idempotency_key must be"),
        (("batch.pdf",), "Missing option '--subdocument'"),
        (("batch.pdf", *SPLIT, "--n-consensus", "9"), "1<=x<=8"),
    ],
)
@pytest.mark.parametrize("mode", [(), ("--wait",)])
def test_what_cannot_be_sent_exits_2_and_says_only_why(
    *,
    arguments: tuple[str, ...],
    reason: str,
    mode: tuple[str, ...],
    emulator: Emulator,
    batch: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(Path(batch).parent)

    assert run(["splits", "create", *arguments, *mode]) == 2

    said = capsys.readouterr().err
    assert reason in said
    assert "going on" not in said
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--timeout", "5"), "--timeout is for --wait"),
        (("--wait", "--timeout", "0"), "x>0"),
        (("--wait", "--timeout", "nan"), "a finite number of seconds"),
    ],
)
def test_a_timeout_that_is_none_exits_2(
    options: tuple[str, ...], reason: str, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["splits", "create", batch, *SPLIT, *options]) == 2

    assert reason in capsys.readouterr().err
    assert emulator.active_runs() == []


def test_a_refused_create_exits_1(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("POST /v1/splits", Fault.status(403), Fault.status(403))

    assert [run(["splits", "create", batch, *SPLIT, *mode]) for mode in ((), ("--wait",))] == [1, 1]

    said = capsys.readouterr().err
    assert said.count("Error: Forbidden") == 2
    assert "going on" not in said


@pytest.mark.parametrize("mode", [(), ("--wait",)])
def test_without_a_key_it_exits_2(mode: tuple[str, ...], batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "create", batch, *SPLIT, *mode]) == 2

    assert "export RETAB_API_KEY=" in capsys.readouterr().err


def test_wait_tells_each_change_and_prints_the_run_at_the_end(
    brisk: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--wait", "--json"])

    said = capsys.readouterr()
    created = json.loads(said.out)
    assert code == 0
    assert (created["status"], bool(created["output"])) == ("completed", True)
    assert said.err.splitlines() == [f"{created['id']} {status}" for status in ("queued", "in_progress", "completed")]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_wait_exits_1_for_a_run_that_ends_otherwise(
    status: str, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits/{id}", *[Fault.status(200, body={"id": "splt_1", "status": status})] * 2)

    code = run(["splits", "create", batch, *SPLIT, "--wait"])

    said = capsys.readouterr()
    assert code == 1
    assert f"status\t{status}" in said.out
    assert "on the server" not in said.err


def test_when_the_time_is_over_the_run_is_cancelled(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--wait", "--timeout", "0.2"])

    lines = capsys.readouterr().err.splitlines()
    assert code == 1
    assert emulator.active_runs() == []
    assert re.fullmatch(r"cancelled splt_\w+ on the server", lines[1])
    assert "did not finish within 0.2 s" in lines[2]


def test_interrupted_it_cancels_the_run_and_says_so(emulator: Emulator, batch: str) -> None:
    with command("splits", "create", batch, *SPLIT, "--wait") as process:
        wait_until(lambda: _asked(emulator, "GET"))
        (run_id,) = emulator.active_runs()

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, "")
    assert emulator.active_runs() == []
    assert err.splitlines() == [f"{run_id} queued", f"cancelled {run_id} on the server", "", "interrupted"]


def test_interrupted_while_creating_it_leaves_no_run_behind(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.late_hang())

    with interrupting(emulator.active_runs):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 130
    assert emulator.active_runs() == []
    assert "no run was left going on" in capsys.readouterr().err


def test_a_create_in_doubt_leaves_no_run_behind(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", *[Fault.late_reset()] * 4)

    code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 1
    assert emulator.active_runs() == []
    assert "no run was left going on" in capsys.readouterr().err


def test_interrupted_it_says_what_could_not_be_confirmed(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(403))

    with interrupting(lambda: _asked(emulator, "GET")):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    (run_id,) = emulator.active_runs()
    assert code == 130
    assert f"/v1/splits {run_id} may still be running: Forbidden" in capsys.readouterr().err


def test_interrupted_twice_it_does_not_wait_for_the_cancel(emulator: Emulator, batch: str) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.hang()] * 3)
    with command("splits", "create", batch, *SPLIT, "--wait") as process:
        for verb in ("GET", "cancel"):
            wait_until(partial(_asked, emulator, verb))
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    (run_id,) = emulator.active_runs()
    assert process.returncode == 130
    assert f"{run_id} may still be going on" in err
    assert "Traceback" not in err


def test_a_run_that_was_seen_to_be_over_is_not_said_to_be_cancelled(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    over = {"id": "splt_1", "status": "completed"}
    emulator.fail("GET /v1/splits/{id}", Fault.status(200, body=over), Fault.hang())

    with interrupting(lambda: len([each for each in emulator.requests if each.method == "GET"]) > 1):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 130
    assert "on the server" not in capsys.readouterr().err


def test_a_client_that_was_not_closed_leaves_it_in_doubt(capsys: pytest.CaptureFixture[str]) -> None:
    leaving = ExitReport("K-1")

    with pytest.raises(KeyboardInterrupt), leaving:
        raise KeyboardInterrupt

    assert (
        capsys.readouterr().err == "a run may have been created: the same command with --idempotency-key K-1 shows it\n"
    )


def test_an_interrupted_create_says_under_which_key_to_look_for_it(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.late_hang())

    with interrupting(emulator.active_runs):
        code = run(["splits", "create", batch, *SPLIT, "--background"])

    (key,) = re.findall(r"--idempotency-key (\S+) shows it", capsys.readouterr().err)
    assert code == 130
    run(["splits", "create", batch, *SPLIT, "--background", "--idempotency-key", key])
    assert [capsys.readouterr().out.split("\t")[0]] == emulator.active_runs()


def test_on_a_terminal_one_line_lives_until_the_end(emulator: Emulator, batch: str) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "create", batch, *SPLIT, "--wait", stderr=slave, env=environment) as process:
        os.close(slave)
        wait_until(lambda: _asked(emulator, "GET"))
        (run_id,) = emulator.active_runs()

        process.send_signal(signal.SIGINT)
        said = read_to_the_end(master)
        process.wait(timeout=20)

    assert process.returncode == 130
    assert f"{run_id} queued" in said
    assert f"cancelling {run_id}" in said
    assert f"cancelled {run_id} on the server\r\n" in said
    assert said.count("\x1b[?25h") == said.count("\x1b[?25l")


def _asked(emulator: Emulator, verb: str) -> bool:
    return any(verb in f"{each.method} {each.path}" for each in emulator.requests)
