"""The command, as a person or a script runs it, against an emulator in a thread of its own."""

import asyncio
import json
import logging
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from retab_async.__main__ import main
from retab_async.cli import run
from retab_async.cli.groups import kind_commands
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES
from retab_async.resources.base import RunResource
from retab_async.resources.splits import Split

KEY = "sk_live_never_shown_0123456789"


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Undo what the command does to logging, which is a whole process's to do."""
    loggers = (logging.getLogger(), logging.getLogger("retab_async"))
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[Emulator]:
    """Serve from a thread, with settings of the emulator's: the command runs an event loop of its own."""
    emulator = Emulator(**settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
    monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    with logging_as_it_was():
        yield emulator
    asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def interrupting(condition: Callable[[], object]) -> Iterator[None]:
    """Send this process a Ctrl-C as soon as a condition holds."""

    def interrupt() -> None:
        wait_until(condition)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, for some seconds at the most."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    msg = "this was waited for in vain"
    raise AssertionError(msg)


@contextmanager
def command(*arguments: str, **settings: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start the command in a process of its own, as a shell does, which does not outlive the block."""
    line = [sys.executable, "-m", "retab_async", *arguments]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    with subprocess.Popen(line, **told) as process:  # noqa: S603 - our own line
        try:
            yield process
        finally:
            process.kill()


def read_until(master: int, text: str) -> str:
    """Return what is said on a terminal until a text is there."""
    said = b""
    while text.encode() not in said:
        said += os.read(master, 65536)
    return said.decode(errors="replace")


def read_to_the_end(master: int) -> str:
    """Return what is said on a terminal until nobody is left to say anything, and close it."""
    said = b""
    try:
        while piece := os.read(master, 65536):
            said += piece
    except OSError:
        # What Linux says when the last one to have the other end has gone.
        pass
    os.close(master)
    return said.decode(errors="replace")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test."""
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def logging_is_nobodys() -> Iterator[None]:
    """Leave logging as it was, also where nothing is served."""
    with logging_as_it_was():
        yield


def test_cancel_prints_a_line_a_run_and_exits_0(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = emulator.seed("splits", 2)

    code = run(["splits", "cancel", one, two, one])

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
        ("a/b", "invalid"),
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


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_kind_has_the_commands_of_its_verbs(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ("cancel", "cancel_matching", "create", "delete", "get", "list", "wait")

    run([*kind.split("."), "--help"])

    commands = re.findall(r"(?m)^  ([a-z-]+)  ", capsys.readouterr().out.partition("Commands:")[2])
    assert commands == [verb.replace("_", "-") for verb in verbs if hasattr(RESOURCES[kind], verb)]


def test_a_kind_has_the_commands_of_the_verbs_it_has() -> None:
    class Parses:
        run_type = Split
        get = RunResource.get

    group = kind_commands("parses", cast("type[RunResource[Split]]", Parses))

    assert list(group.commands) == ["get"]


def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "cancel"]) == 2

    assert "Missing argument" in capsys.readouterr().err


def test_interrupted_it_exits_130(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(coroutine: Coroutine[None, None, None]) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupt)

    assert run(["splits", "cancel", "splt_1"]) == 130

    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "level"), [("-v", "WARNING"), ("-vv", "DEBUG")])
def test_verbose_logs_and_never_the_key(
    flag: str, level: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    (split,) = emulator.seed("splits")
    emulator.fail("GET /v1/splits/{id}", Fault.status(503, retry_after=0))

    run([flag, "splits", "get", split])

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


def test_a_cancel_that_nothing_is_known_of_is_unconfirmed(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.status(500)] * 50)

    code = run(["splits", "cancel", "splt_1", "--outage-timeout", "0.5"])

    assert code == 1
    assert capsys.readouterr().out.startswith("splt_1\tunconfirmed\t\tInternal Server Error")


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
    monkeypatch.setitem(sys.modules, "retab_async.cli.groups", None)

    with pytest.raises(ModuleNotFoundError, match=r"retab_async\.cli\.groups"):
        main()


def _forget_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith("retab_async.cli.")]:
        monkeypatch.delitem(sys.modules, name)
