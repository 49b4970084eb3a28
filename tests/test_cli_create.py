"""`create`: the request, the output, and the run after Ctrl-C or a failure."""

import hashlib
import io
import json
import os
import pty
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_harness import command, interrupting, read_to_end, served_emulator, wait_until

from retab_async.cli import run
from retab_async.cli.create import ExitReport
from retab_async.emulator import Emulator, Fault

CONTENT = b"%PDF-1.7 a batch of invoices"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SPLIT = ("--subdocument", "invoice", "--subdocument", "receipt=What a=receipt looks like")
PARTITION = ("--key", "account", "--instructions", "One chunk for each account.")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose background runs last longer than any test."""
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose background runs finish soon."""
    with served_emulator(monkeypatch, queued=0.1, running=0.1, poll_after=0.06) as emulator:
        yield emulator


@pytest.fixture
def batch(tmp_path: Path) -> str:
    """The path of a document."""
    path = tmp_path / "batch.pdf"
    path.write_bytes(CONTENT)
    return str(path)


def test_create_prints_the_finished_run(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["splits", "create", batch, *SPLIT])

    captured = capsys.readouterr()
    fields = dict(line.split("\t") for line in captured.out.splitlines())
    assert code == 0
    assert (captured.err, fields["status"]) == ("", "completed")
    assert emulator.document_of(fields["id"]).sha256 == DIGEST


def test_create_split_has_the_fields_of_its_options(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--instructions", "T", "--model", "retab-large", "--n-consensus", "3", "--bust-cache")

    run(["splits", "create", batch, *SPLIT, *options, "--json"])

    split = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["description"]) for each in split["subdocuments"]] == [
        ("invoice", ""),
        ("receipt", "What a=receipt looks like"),
    ]
    assert (split["instructions"], split["model"], split["n_consensus"]) == ("T", "retab-large", 3)


@pytest.mark.parametrize(("options", "overlap"), [((), True), (("--no-allow-overlap",), False)])
def test_create_partition_has_the_fields_of_its_options(
    options: tuple[str, ...], *, overlap: bool, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["partitions", "create", batch, *PARTITION, *options, "--json"])

    partition = json.loads(capsys.readouterr().out)
    assert (partition["key"], partition["allow_overlap"]) == ("account", overlap)


def test_create_in_the_background_prints_one_line_with_the_id_first(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--background"])

    run_id, status, created, filename = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert code == 0
    assert (emulator.active_runs(), status, filename) == ([run_id], "queued", "batch.pdf")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)


def test_create_in_the_background_json_is_the_run(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["splits", "create", batch, *SPLIT, "--background", "--json"])

    assert [json.loads(capsys.readouterr().out)["id"]] == emulator.active_runs()


def test_create_exits_1_if_the_run_failed(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"id": "splt_1", "status": "failed", "error": {"code": "bad_document", "message": "no pages"}}
    emulator.fail("POST /v1/splits", Fault.status(201, body=failed))

    code = run(["splits", "create", batch, *SPLIT])

    assert code == 1
    assert "no pages" in capsys.readouterr().out


def test_create_twice_with_one_key_creates_one_run(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        run(["splits", "create", batch, *SPLIT, "--background", "--idempotency-key", "K-1"])

    one, other = capsys.readouterr().out.splitlines()
    assert one == other
    assert [each.idempotency_key for each in emulator.requests] == ["K-1", "K-1"]


@pytest.mark.parametrize("is_pipe", [True, False])
def test_create_reads_a_document_from_stdin(
    *, is_pipe: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb") as pipe:
        pipe.write(CONTENT)

    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin if is_pipe else io.TextIOWrapper(io.BytesIO(CONTENT)))
        code = run(["splits", "create", "-", *SPLIT, "--background"])

    captured = capsys.readouterr()
    received = emulator.document_of(captured.out.split("\t")[0])
    assert (code, captured.err) == (0, "")
    assert (received.sha256, received.filename) == (DIGEST, "document.pdf")


@pytest.mark.subprocess
def test_create_can_be_interrupted_while_it_reads_stdin(emulator: Emulator) -> None:
    read, write = os.pipe()
    with command("splits", "create", "-", *SPLIT, stdin=read) as process:
        # More than a pipe holds: when all of it is written, some of it has been read.
        os.write(write, bytes(200_000))

        process.send_signal(signal.SIGINT)
        # A signal that comes just before a read is seen after it.
        os.write(write, b".")
        _, err = process.communicate(timeout=60)

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
def test_create_exits_2_if_stdin_cannot_be_read(
    stdin: Any, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)

    assert run(["splits", "create", "-", *SPLIT]) == 2

    assert reason in capsys.readouterr().err


def test_create_sends_the_url_of_a_remote_document(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run(["splits", "create", "https://example.com/batches/batch%20one.pdf", *SPLIT, "--json"])

    assert json.loads(capsys.readouterr().out)["file"]["filename"] == "batch one.pdf"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere.pdf", *SPLIT), "'nowhere.pdf' cannot be read"),
        (("http://example.com/a.pdf", *SPLIT), "only over https"),
        (("batch.pdf", "--subdocument", "=What is this"), "must be a string that is not blank"),
        (("batch.pdf", "--subdocument", "a", "--idempotency-key", "two words"), "idempotency_key must be"),
        (("batch.pdf",), "Missing option '--subdocument'"),
        (("batch.pdf", *SPLIT, "--n-consensus", "9"), "1<=x<=8"),
    ],
)
@pytest.mark.parametrize("mode", [(), ("--wait",)])
def test_create_with_invalid_input_exits_2_and_sends_nothing(
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

    captured = capsys.readouterr().err
    assert reason in captured
    assert "running" not in captured
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--timeout", "5"), "--timeout needs --wait"),
        (("--wait", "--timeout", "0"), "x>0"),
        (("--wait", "--timeout", "nan"), "a finite number of seconds"),
    ],
)
def test_create_with_an_invalid_timeout_exits_2(
    options: tuple[str, ...], reason: str, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["splits", "create", batch, *SPLIT, *options]) == 2

    assert reason in capsys.readouterr().err
    assert emulator.active_runs() == []


def test_create_exits_1_if_the_api_refuses_it(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.status(403), Fault.status(403))

    assert [run(["splits", "create", batch, *SPLIT, *mode]) for mode in ((), ("--wait",))] == [1, 1]

    captured = capsys.readouterr().err
    assert captured.count("Error: Forbidden") == 2
    assert "running" not in captured


@pytest.mark.parametrize("mode", [(), ("--wait",)])
def test_create_without_a_key_exits_2(mode: tuple[str, ...], batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "create", batch, *SPLIT, *mode]) == 2

    assert "export RETAB_API_KEY=" in capsys.readouterr().err


def test_create_wait_prints_each_status_and_the_run(
    brisk: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--wait", "--json"])

    captured = capsys.readouterr()
    created = json.loads(captured.out)
    assert code == 0
    assert (created["status"], bool(created["output"])) == ("completed", True)
    assert captured.err.splitlines() == [
        f"{created['id']} {status}" for status in ("queued", "in_progress", "completed")
    ]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_create_wait_exits_1_if_the_run_does_not_complete(
    status: str, emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits/{id}", *[Fault.with_fields({"status": status})] * 2)

    code = run(["splits", "create", batch, *SPLIT, "--wait"])

    captured = capsys.readouterr()
    assert code == 1
    assert f"status\t{status}" in captured.out
    assert "on the server" not in captured.err


def test_create_wait_cancels_the_run_after_its_timeout(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["splits", "create", batch, *SPLIT, "--wait", "--timeout", "0.2"])

    lines = capsys.readouterr().err.splitlines()
    assert code == 1
    assert emulator.active_runs() == []
    assert re.fullmatch(r"cancelled splt_\w+ on the server", lines[1])
    assert "did not finish within 0.2 s" in lines[2]


def test_create_wait_interrupted_cancels_the_run(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with interrupting(lambda: _was_requested(emulator, "GET")):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    captured = capsys.readouterr()
    run_id = captured.err.split()[0]
    assert (code, captured.out, emulator.active_runs()) == (130, "", [])
    assert captured.err.splitlines() == [
        f"{run_id} queued",
        f"cancelled {run_id} on the server",
        "",
        "interrupted",
    ]


def test_create_wait_interrupted_during_the_create_leaves_no_run(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.hang_after_effect())

    with interrupting(emulator.active_runs):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 130
    assert emulator.active_runs() == []
    assert "no run was left running" in capsys.readouterr().err


def test_create_wait_in_doubt_leaves_no_run(emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("POST /v1/splits", *[Fault.reset_after_effect()] * 4)

    code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 1
    assert emulator.active_runs() == []
    assert "no run was left running" in capsys.readouterr().err


def test_create_wait_interrupted_prints_an_unconfirmed_cancel(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(403))

    with interrupting(lambda: _was_requested(emulator, "GET")):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    (run_id,) = emulator.active_runs()
    assert code == 130
    assert f"/v1/splits {run_id} may still be running: Forbidden" in capsys.readouterr().err


@pytest.mark.subprocess
def test_create_wait_interrupted_twice_does_not_wait_for_the_cancel(emulator: Emulator, batch: str) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.hang()] * 3)
    with command("splits", "create", batch, *SPLIT, "--wait") as process:
        for verb in ("GET", "cancel"):
            wait_until(partial(_was_requested, emulator, verb))
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    (run_id,) = emulator.active_runs()
    assert process.returncode == 130
    assert f"{run_id} may still be running" in err
    assert "Traceback" not in err


def test_create_wait_interrupted_after_the_run_finished_does_not_report_a_cancel(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits/{id}", Fault.with_fields({"status": "completed"}), Fault.hang())

    with interrupting(lambda: len([each for each in emulator.requests if each.method == "GET"]) > 1):
        code = run(["splits", "create", batch, *SPLIT, "--wait"])

    assert code == 130
    assert "on the server" not in capsys.readouterr().err


def test_exit_report_without_a_closed_client_prints_the_doubt(capsys: pytest.CaptureFixture[str]) -> None:
    report = ExitReport("K-1")

    with pytest.raises(KeyboardInterrupt), report:
        raise KeyboardInterrupt

    assert (
        capsys.readouterr().err
        == "a run may have been created: repeat the command with --idempotency-key K-1 to see it\n"
    )


def test_create_interrupted_prints_the_idempotency_key(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits", Fault.hang_after_effect())

    with interrupting(emulator.active_runs):
        code = run(["splits", "create", batch, *SPLIT, "--background"])

    (key,) = re.findall(r"--idempotency-key (\S+) to see it", capsys.readouterr().err)
    assert code == 130
    run(["splits", "create", batch, *SPLIT, "--background", "--idempotency-key", key])
    assert [capsys.readouterr().out.split("\t")[0]] == emulator.active_runs()


@pytest.mark.subprocess
def test_create_wait_on_a_terminal_shows_one_live_line(emulator: Emulator, batch: str) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "create", batch, *SPLIT, "--wait", stderr=slave, env=environment) as process:
        os.close(slave)
        wait_until(lambda: _was_requested(emulator, "GET"))
        (run_id,) = emulator.active_runs()

        process.send_signal(signal.SIGINT)
        captured = read_to_end(master)
        process.wait(timeout=60)

    assert process.returncode == 130
    assert f"{run_id} queued" in captured
    assert f"cancelling {run_id}" in captured
    assert f"cancelled {run_id} on the server\r\n" in captured
    assert captured.count("\x1b[?25h") == captured.count("\x1b[?25l")


@pytest.mark.subprocess
def test_create_on_a_terminal_shows_the_progress_of_its_upload(emulator: Emulator, tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    large.write_bytes(b"%PDF-1.7")
    os.truncate(large, 20_000_000)
    # The server reads the body after a while: until then a part of it was sent, since no socket buffers all of it.
    emulator.fail("POST /v1/splits", Fault.delay(1))
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with command("splits", "create", str(large), *SPLIT, "--background", stderr=slave, env=environment) as process:
        os.close(slave)
        captured = read_to_end(master)
        process.wait(timeout=20)

    assert process.returncode == 0
    assert re.search(r"uploading documents: \d+ % of 26\.7 MB", captured)


def test_create_without_a_terminal_shows_no_progress(
    emulator: Emulator, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["splits", "create", batch, *SPLIT, "--background"]) == 0

    assert capsys.readouterr().err == ""


def _was_requested(emulator: Emulator, verb: str) -> bool:
    return any(verb in f"{each.method} {each.path}" for each in emulator.requests)
