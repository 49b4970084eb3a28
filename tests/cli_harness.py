"""Helpers for tests of the command line: an emulator in a thread, Ctrl-C, processes and terminals."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retab_async.emulator import Emulator

KEY = "sk_live_never_shown_0123456789"


class Terminal:
    """A stdin that is a terminal, on which an answer is typed, or an exception is raised."""

    def __init__(self, answer: str | type[BaseException]) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        if isinstance(self._answer, str):
            return self._answer
        raise self._answer


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo what the command changes in the logging of the process."""
    loggers = (logging.getLogger(), logging.getLogger("retab_async"))
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@contextmanager
def served_emulator(monkeypatch: Any, **settings: Any) -> Iterator[Emulator]:
    """Serve an emulator from a thread, because the command runs an event loop of its own."""
    emulator = Emulator(**settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
    monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    with restored_logging():
        yield emulator
    asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def interrupting(condition: Callable[[], object], number: int = signal.SIGINT) -> Iterator[None]:
    """Send this process a signal, by default that of Ctrl-C, as soon as a condition holds."""

    def interrupt() -> None:
        wait_until(condition)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, for at most a minute."""
    pause = threading.Event()
    for _ in range(6000):
        if condition():
            return
        pause.wait(0.01)
    msg = "the condition did not hold within 60 s"
    raise AssertionError(msg)


@contextmanager
def command(*arguments: str, **settings: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start the command in a process of its own, and kill it at the end of the block."""
    line = [sys.executable, "-m", "retab_async", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    with subprocess.Popen(line, **options) as process:  # noqa: S603 - our own command
        try:
            yield process
        finally:
            process.kill()


def read_until(master: int, text: str) -> str:
    """Return the output on a terminal until it contains a text."""
    output = b""
    while text.encode() not in output:
        output += os.read(master, 65536)
    return output.decode(errors="replace")


def read_to_end(master: int) -> str:
    """Return the output on a terminal until its last writer is gone, and close it."""
    output = b""
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:
        # Linux reports so that the other end is closed.
        pass
    os.close(master)
    return output.decode(errors="replace")


def figures(output: str) -> dict[str, str]:
    """Return the tab-separated lines of a report, by their first column."""
    return dict(line.split("\t", 1) for line in output.splitlines() if "\t" in line)


def journal_entries(path: str) -> list[dict[str, Any]]:
    """Return the outcomes in a journal, without its header."""
    return [entry for line in Path(path).read_text().splitlines() if "run_id" in (entry := json.loads(line))]


def write_lines(lines: list[str], path: str = "ids.txt") -> str:
    """Write lines to a file and return its path."""
    Path(path).write_text("".join(f"{line}\n" for line in lines))
    return path
