"""The command, as a person or a script runs it, against an emulator in a thread of its own."""

import asyncio
import json
import logging
import os
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress

import pytest

from retab_async.__main__ import main
from retab_async.cli import run
from retab_async.cli.outcomes import Outcome, cancel_each
from retab_async.emulator import Emulator, Fault
from retab_async.models import RunStatus
from retab_async.resources import RESOURCES
from retab_async.resources.splits import Split

KEY = "sk_live_never_shown_0123456789"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what the command does to logging, which is a whole process's to do."""
    loggers = (logging.getLogger(), logging.getLogger("retab_async"))
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Serve from a thread: the command runs an event loop of its own."""
    emulator = Emulator(queued=60, running=60)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
    monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    yield emulator
    asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("kind", RESOURCES)
def test_cancel_prints_a_line_a_run_and_exits_0(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = emulator.seed(kind, 2)

    code = run([kind, "cancel", one, two, one])

    assert code == 0
    assert capsys.readouterr().out == f"{one}\tcancelled\tcancelled\t\n{two}\tcancelled\tcancelled\t\n"


def test_a_run_that_had_finished_before_is_no_failure(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "cancel", done])

    assert code == 0
    assert capsys.readouterr().out == f"{done}\tfinished\tcompleted\t\n"


def test_an_id_that_could_not_be_cancelled_makes_exit_1_and_does_not_stop_the_others(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = emulator.seed("splits")

    code = run(["splits", "cancel", "splt_unknown", "a/b", good])

    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert [(line[0], line[1]) for line in lines] == [
        ("splt_unknown", "not_found"),
        ("a/b", "rejected"),
        (good, "cancelled"),
    ]


def test_json_is_one_object_a_line_with_the_run_as_the_api_writes_it(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = emulator.seed("splits")

    code = run(["splits", "cancel", "--json", good, "splt_unknown"])

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert code == 1
    assert (first["id"], first["disposition"], first["run"]["status"]) == (good, "cancelled", "cancelled")
    assert first["run"]["created_at"].endswith("Z")
    assert (second["disposition"], second["run"]) == ("not_found", None)
    assert "Split not found" in second["reason"]


def test_on_a_terminal_there_is_a_table_with_the_whole_id_and_progress_on_stderr(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    (good,) = emulator.seed("splits")

    run(["splits", "cancel", good, "no[t]here"])

    shown = capsys.readouterr()
    assert good in shown.out
    assert "no[t]here" in shown.out
    assert "disposition" in shown.out
    assert "2/2" in shown.err
    assert "cancelled 1" in shown.err


def test_get_prints_what_is_known_of_a_run(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (split,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "get", split])

    fields = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert (fields["id"], fields["status"]) == (split, "completed")
    assert json.loads(fields["output"])[0]["pages"][0] == 1
    assert "error" not in fields


def test_get_without_output_is_the_cheap_read(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (split,) = emulator.seed("splits", queued=0, running=0)

    run(["splits", "get", "--no-output", "--json", split])

    answer = json.loads(capsys.readouterr().out)
    assert (answer["id"], answer["status"], answer["output"]) == (split, "completed", [])


@pytest.mark.parametrize(("run_id", "code"), [("splt_unknown", 1), ("a/b", 2)])
def test_get_says_why_it_failed(run_id: str, code: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "get", run_id]) == code

    assert "Split not found" in (said := capsys.readouterr().err) or "not a run id" in said


@pytest.mark.parametrize("verb", ["cancel", "get"])
def test_without_a_key_it_exits_2_with_the_line_that_fixes_it(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETAB_API_KEY", raising=False)

    code = run(["splits", verb, "splt_1"])

    assert code == 2
    assert "export RETAB_API_KEY=" in capsys.readouterr().err


def test_a_wrong_address_exits_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    monkeypatch.setenv("RETAB_API_BASE_URL", "http://example.com")

    code = run(["splits", "cancel", "splt_1"])

    said = capsys.readouterr().err
    assert code == 2
    assert "must use https" in said
    assert "export" not in said


def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "cancel"]) == 2

    assert "Missing argument" in capsys.readouterr().err


def test_interrupted_it_exits_130(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(coroutine: Coroutine[None, None, None]) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("retab_async.cli.runs.asyncio.run", interrupt)

    assert run(["splits", "cancel", "splt_1"]) == 130

    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "level"), [("-v", "WARNING"), ("-vv", "DEBUG")])
def test_verbose_logs_and_never_the_key(
    flag: str, level: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    (split,) = emulator.seed("splits")
    emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0))

    run([flag, "splits", "cancel", split])

    levels = {record.levelname for record in caplog.records if record.name == "retab_async"}
    assert levels == ({"WARNING"} if level == "WARNING" else {"WARNING", "DEBUG"})
    assert KEY not in caplog.text


def test_the_demo_cancels_hundreds_and_ends_with_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["demo", "--runs", "60"])

    rows = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert int(rows["cancelled"]) + int(rows["finished before"]) == 60
    assert (rows["failed"], rows["requests"], rows["retries"]) == ("0", "63", "3")


def test_the_demo_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    run(["demo", "--runs", "10", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert report["cancelled"] + report["finished_before"] == 10


def test_serve_prints_its_address_first_and_ends_when_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    port = _free_port()
    interrupter = threading.Thread(target=_interrupt_when_open, args=(port,))
    interrupter.start()

    code = run(["serve", "--port", str(port), "--seed", "1", "--rate-limit", "300/60", "--no-retry-after"])

    interrupter.join()
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert code == 0
    assert lines[0] == f"http://127.0.0.1:{port}"
    assert [line.split("\t")[0] for line in lines[1:]] == ["splits", "partitions"]
    assert said.err.startswith(f"export RETAB_API_BASE_URL=http://127.0.0.1:{port} ")


def test_serve_says_so_when_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run(["serve", "--port", str(taken.getsockname()[1])])

    assert code == 1
    assert "cannot listen on port" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["300", "0/60", "300/0", "x/y", "300/-1"])
def test_serve_refuses_a_rate_limit_that_is_none(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--rate-limit", limit]) == 2

    assert "REQUESTS/SECONDS" in capsys.readouterr().err


async def test_a_cancel_that_was_only_accepted_is_requested() -> None:
    async def cancel(run_id: str) -> Split:
        return Split(id=run_id, status=RunStatus.IN_PROGRESS)

    heard: list[Outcome] = []
    outcomes = await cancel_each([("splt_1", cancel)], concurrency=3, tell=heard.append)

    assert [outcome.disposition for outcome in outcomes] == ["requested"]
    assert heard == outcomes


def test_a_cancel_that_nothing_is_known_of_is_unconfirmed(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.status(503, retry_after=3600)])

    code = run(["splits", "cancel", "splt_1"])

    assert code == 1
    assert capsys.readouterr().out.startswith("splt_1\tunconfirmed\t\tService Unavailable")


def test_the_script_exits_with_the_code_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["retab-async", "--version"])
    monkeypatch.delitem(sys.modules, "retab_async.__main__")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("retab_async", run_name="__main__", alter_sys=True)

    assert ended.value.code == 0


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_how_to_install_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _forget_the_command(monkeypatch)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert 'pip install "retab_async[cli]"' in capsys.readouterr().err


def test_any_other_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_the_command(monkeypatch)
    monkeypatch.setitem(sys.modules, "retab_async.cli.runs", None)

    with pytest.raises(ModuleNotFoundError, match=r"retab_async\.cli\.runs"):
        main()


def _forget_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith("retab_async.cli.")]:
        monkeypatch.delitem(sys.modules, name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _interrupt_when_open(port: int) -> None:
    _until(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close())
    os.kill(os.getpid(), signal.SIGINT)


def _until(connect: Callable[[], None]) -> None:
    waited = threading.Event()
    for _ in range(500):
        with suppress(OSError):
            connect()
            return
        waited.wait(0.02)
