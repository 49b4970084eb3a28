"""A journal at work: read once, then written by a thread of its own."""

import asyncio
import logging
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from retab_async.errors import JournalError
from retab_async.journal.entry import FINAL, LONGEST_LINE, Entry, IdDigestSet, decode_entry, encode_entry, is_torn


@contextmanager
def locked_file(path: str) -> Iterator[int]:
    """Give the descriptor of a file that nobody else holds, seen on the disk at the end; ValueError says why not."""
    try:
        import fcntl  # noqa: PLC0415 - there is none on Windows, where all the rest must work
    except ImportError:
        msg = "journals need a POSIX system"
        raise ValueError(msg) from None
    with ExitStack() as stack:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        stack.callback(os.close, file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            msg = "it is no regular file"
            raise ValueError(msg)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(_holder(file)) from None
        # A child that was forked meanwhile has the same lock, and must not keep it.
        stack.callback(fcntl.flock, file, fcntl.LOCK_UN)
        yield file
        os.fsync(file)


def _holder(file: int) -> str:
    found = os.fstat(file)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        locks = [lock.split() for lock in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        locks = []
    pids = [lock[4] for lock in locks if lock[1] == "FLOCK" and lock[5] == place]
    who = "another job in this process" if str(os.getpid()) in pids else " ".join(["process", *pids])
    return f"{who} is writing it" if pids else "another job is writing it"


def append(file: int, batch: bytes, end: int) -> None:
    """Write a batch at the end of a file, which is there; raises `OSError` where the file is as it was."""
    rest = memoryview(batch)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        # All or nothing, so that what is unwritten is known. Where even this fails, the next one to open it finds whole
        # lines, which were told as unwritten, and a torn one behind them.
        with suppress(OSError):
            os.ftruncate(file, end)
        raise


# Seconds between two writes: with a slow one in between, still less than the second that is promised.
_INTERVAL = 0.5
# A thread that waits for the interpreter's lock begins its 5 ms anew each time the lock is let go, and may miss every
# one of these moments: with reads of 64 KiB, which let it go every few milliseconds, the event loop stood for seconds.
_PIECE = 1 << 20

_logger = logging.getLogger("retab_async")


class Journal:
    """A file of outcomes that is read once, and then written by a thread of its own.

    `counts`: the final outcomes of earlier runs of the job, by disposition. An id that was unconfirmed first and
    cancelled later counts once; one that was given twice to the same run counts twice, as it did then.
    """

    # Why a thread, and neither a task nor the loop's executor: it goes on when the task that closes the journal is
    # cancelled, even in an anyio scope where every await fails at once; it neither ends with the loop's tasks nor waits
    # for other work in the executor; and being no daemon it is waited for when the interpreter ends.

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._path = os.fspath(path)
        self._done = IdDigestSet()
        self._pending: list[tuple[Entry, bytes]] = []
        self._lock = threading.Lock()
        self._failure: JournalError | None = None
        self._closing = threading.Event()
        self._opened, self._closed = _milestone(), _milestone()

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> "Journal":
        """Open a journal, or begin one that only its owner can read; POSIX only.

        A last line that was cut short is dropped. `JournalError` where the file cannot be opened, holds anything but
        lines of a journal, or is held by another job.
        """
        journal = cls(path)
        threading.Thread(target=journal._write_loop, name="retab_async journal", daemon=False).start()
        with ExitStack() as abandoned:
            abandoned.callback(journal._closing.set)
            await asyncio.wrap_future(journal._opened)
            abandoned.pop_all()
        journal.check()
        return journal

    @property
    def unwritten(self) -> list[Entry]:
        """What is not in the file: after a failure, all that will not get there."""
        with self._lock:
            return [entry for entry, _ in self._pending]

    def is_done(self, collection: str, run_id: str) -> bool:
        """Whether an earlier run of the job came to a final outcome.

        What this one writes is not looked at, for memory's sake: an id that is given twice is cancelled twice, which is
        harmless.
        """
        return self._done.has(collection, run_id)

    def write(self, entry: Entry) -> None:
        """Take an entry, which is in the file within a second; never waits.

        `JournalError` where an earlier one could not be written. This one is then among the `unwritten`, too.
        """
        line = encode_entry(entry)
        if self._closing.is_set():
            raise JournalError(self._describe("written", "it is closed"))
        with self._lock:
            self._pending.append((entry, line))
        self.check()

    def check(self) -> None:
        """Raise `JournalError` where entries do not reach the file any more."""
        if self._failure is not None:
            raise JournalError(str(self._failure)) from self._failure.__cause__

    async def aclose(self) -> None:
        """Write what is left and see it on the disk; `JournalError` where anything is not.

        A cancellation ends the waiting alone: the thread goes on, and a failure that nobody waits for is logged.
        """
        self._closing.set()
        await asyncio.wrap_future(self._closed)
        self.check()

    def _write_loop(self) -> None:
        try:
            with locked_file(self._path) as file:
                self._load(file)
                self._opened.set_result(None)
                # A journal that nobody closed must not keep the interpreter from ending.
                while not self._closing.wait(_INTERVAL) and threading.main_thread().is_alive():
                    self._drain(file)
                self._drain(file)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end with this thread
            self._fail(error)
        finally:
            for milestone in (self._opened, self._closed):
                if not milestone.done():
                    milestone.set_result(None)

    def _fail(self, error: Exception) -> None:
        known = self._opened.done()
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        told = self._describe("written" if known else "opened", reason)
        if known:
            _logger.error("%s; entries that are not in it: %d", told, len(self.unwritten))
        failure = JournalError(told)
        failure.__cause__ = error
        self._failure = failure

    def _describe(self, verb: str, reason: object) -> str:
        return f"journal {self._path!r} cannot be {verb}: {reason}"

    def _load(self, file: int) -> None:
        end = 0
        with open(file, "rb", buffering=_PIECE, closefd=False) as lines:
            for number, line in enumerate(iter(partial(lines.readline, LONGEST_LINE), b""), 1):
                if self._closing.is_set():
                    return
                outcome = decode_entry(line)
                if outcome is None and not is_torn(line, end, lines):
                    msg = f"line {number} is no entry of a journal"
                    raise ValueError(msg)
                if outcome is None:
                    os.ftruncate(file, end)
                    break
                end += len(line)
                if outcome[2] in FINAL:
                    self._done.add(*outcome[:2])
                    self.counts[outcome[2]] += 1
        self._done.sort()

    def _drain(self, file: int) -> None:
        found = os.fstat(file)
        if not found.st_nlink:
            msg = "the file was removed meanwhile, and with it what was in it"
            raise ValueError(msg)
        with self._lock:
            batch = self._pending[:]
        append(file, b"".join(line for _, line in batch), found.st_size)
        with self._lock:
            del self._pending[: len(batch)]


def _milestone() -> "Future[None]":
    # One that runs cannot be cancelled by whoever stops waiting for it.
    milestone: Future[None] = Future()
    milestone.set_running_or_notify_cancel()
    return milestone
