"""Journal file: locked, loaded once, then appended to by a writer thread and synced by another one."""

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
from typing import IO

from retab_async.errors import JournalError
from retab_async.journal.entry import (
    MAGIC,
    MAX_LINE_BYTES,
    Entry,
    JournalHeader,
    Settled,
    SettledIds,
    decode_line,
    encode_entry,
    encode_header,
)
from retab_async.models import MIMEData


@contextmanager
def locked_file(path: str) -> Iterator[int]:
    """Open a file under an exclusive lock and fsync it at the end; `ValueError` says why that is impossible."""
    try:
        import fcntl  # noqa: PLC0415 - missing on Windows, where everything else must work
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
            msg = "another job is writing it"
            raise ValueError(msg) from None
        # Explicitly: a child that was forked meanwhile shares the lock, and would keep it.
        stack.callback(fcntl.flock, file, fcntl.LOCK_UN)
        yield file
        os.fsync(file)


def append(file: int, batch: bytes, end: int) -> None:
    """Append the lines of a batch of entries to a file of `end` bytes, all or none."""
    _write_all(file, batch, end)


def _write_all(file: int, content: bytes, end: int) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        # All or nothing, so that the unwritten entries are known. If even this fails, the next job finds whole lines,
        # which were reported as unwritten, and a torn one after them.
        with suppress(OSError):
            os.ftruncate(file, end)
        raise


# Seconds for which entries are collected before they are written: what the operating system has survives a kill of the
# process.
_WRITE_INTERVAL = 0.02
# Seconds between two fsyncs, for a crash of the machine: even with a slow one in between, less than a second.
_SYNC_INTERVAL = 0.5
# Seconds between two checks that the file still exists and the main thread is alive.
_CHECK_INTERVAL = 0.5
# A thread that waits for the interpreter's lock restarts its 5 ms each time the lock is released, and may never get it:
# with reads of 64 KiB, which release it every few milliseconds, the event loop stood still for seconds.
_READ_SIZE = 1 << 20

_logger = logging.getLogger("retab_async")


class Journal:
    """Append-only file of outcomes with a writer thread.

    Attributes:
        header: The job that it belongs to.
    """

    # A thread rather than a task or the loop's executor: it continues when the task that closes the journal is
    # cancelled, even in an anyio scope where every await fails at once; it waits for no other work in the executor; and
    # as it is no daemon, the interpreter waits for it at exit.

    def __init__(self, path: str | os.PathLike[str], header: JournalHeader, *, keep_runs: bool = False) -> None:
        self.header = header
        self._path = os.fspath(path)
        self._settled = SettledIds(keep_runs=keep_runs)
        self._pending: list[tuple[Entry, bytes]] = []
        self._flushes: list[Future[None]] = []
        self._lock = threading.Lock()
        self._failure: JournalError | None = None
        self._has_entries, self._closing = threading.Event(), threading.Event()
        self._opened, self._closed = _uncancellable_future(), _uncancellable_future()

    @classmethod
    async def open(cls, path: str | os.PathLike[str], header: JournalHeader, *, keep_runs: bool = False) -> "Journal":
        """Open a journal, or create one that only its owner can read; POSIX only. Drops a torn last line.

        Args:
            path: The file.
            header: The job. A journal that settled ids of another job is rejected.
            keep_runs: Whether `settled` has the run of a document.

        Raises:
            JournalError: The file cannot be opened, is no journal or that of another job, or is locked.
        """
        journal = cls(path, header, keep_runs=keep_runs)
        threading.Thread(target=journal._write_loop, name="retab_async journal", daemon=False).start()
        with ExitStack() as abandoned:
            abandoned.callback(journal._stop)
            await asyncio.wrap_future(journal._opened)
            abandoned.pop_all()
        journal.check()
        return journal

    @property
    def unwritten(self) -> list[Entry]:
        """Entries that are not in the file yet; after a failure, those that will never be."""
        with self._lock:
            return [entry for entry, _ in self._pending]

    @property
    def counts(self) -> Counter[str]:
        """Final entries of earlier runs of the job by disposition; an id that was given twice counts twice."""
        return self._settled.counts

    def settled(self, kind: str, run_id: str) -> Settled | None:
        """Return how an earlier run of the job settled an id or a document, None if it did not.

        Entries of this run are not considered, to save memory: cancelling an id twice is harmless.
        """
        return self._settled.get(kind, run_id)

    def uploaded_file(self, item: str) -> MIMEData | None:
        """Return the file as which an earlier run of the job uploaded an unsettled document, None without one."""
        return self._settled.uploads.get(item)

    def unsettled_runs(self, item: str) -> tuple[str, ...]:
        """Return the runs that earlier runs of the job created for an unsettled document, the last one last."""
        return self._settled.unsettled.get(item, ())

    def write(self, entry: Entry) -> None:
        """Queue an entry: it survives a kill of the process after milliseconds, a crash of the machine after a second.

        Never blocks.

        Raises:
            JournalError: An earlier entry could not be written or synced; this one is then `unwritten`, too.
        """
        line = encode_entry(entry)
        if self._closing.is_set():
            raise JournalError(self._describe("written", "it is closed"))
        with self._lock:
            self._pending.append((entry, line))
        if not self._has_entries.is_set():
            self._has_entries.set()
        self.check()

    async def flush(self) -> None:
        """Wait until the operating system has all entries so far, which a killed process does not lose.

        Raises:
            JournalError: They could not be written.
        """
        flushed = _uncancellable_future()
        with self._lock:
            if self._failure is not None or self._closed.done():
                flushed.set_result(None)
            else:
                self._flushes.append(flushed)
        self._has_entries.set()
        await asyncio.wrap_future(flushed)
        self.check()

    def check(self) -> None:
        """Raise `JournalError` if entries do not reach the file any more."""
        if self._failure is not None:
            raise JournalError(str(self._failure)) from self._failure.__cause__

    async def aclose(self) -> None:
        """Write the remaining entries and fsync the file; `JournalError` if that fails.

        A cancellation ends only the waiting: the thread continues, and logs its failure.
        """
        self._stop()
        await asyncio.wrap_future(self._closed)
        self.check()

    def _stop(self) -> None:
        self._closing.set()
        self._has_entries.set()

    def _write_loop(self) -> None:
        try:
            with locked_file(self._path) as file:
                self._load(file)
                with self._synced(file):
                    self._opened.set_result(None)
                    self._write_until_closed(file)
        except Exception as error:  # noqa: BLE001 - reported by `check`, in the tasks that use the journal
            self._fail(error)
        finally:
            with self._lock:
                for future in (self._opened, self._closed, *self._flushes):
                    if not future.done():
                        future.set_result(None)

    def _write_until_closed(self, file: int) -> None:
        # A journal that was never closed must not keep the interpreter alive.
        while not self._closing.is_set() and threading.main_thread().is_alive():
            if self._has_entries.wait(_CHECK_INTERVAL):
                self._closing.wait(_WRITE_INTERVAL)
                self._has_entries.clear()
            self._drain(file)
        self._drain(file)

    @contextmanager
    def _synced(self, file: int) -> Iterator[None]:
        """Fsync the file while entries are written to it."""
        ended = threading.Event()

        def sync(synced_size: int) -> None:
            try:
                while not ended.wait(_SYNC_INTERVAL):
                    size = os.fstat(file).st_size
                    if size != synced_size:
                        os.fsync(file)
                        synced_size = size
            except OSError as error:
                self._fail(error)

        # A thread of its own: on a busy disk an fsync takes seconds, for which no entry would be written. The size is
        # that before its start, so that it syncs what is written while it starts.
        args = (os.fstat(file).st_size,)
        thread = threading.Thread(target=sync, args=args, name="retab_async journal sync", daemon=False)
        thread.start()
        try:
            yield
        except Exception as error:
            # Before an fsync in progress, which may be slow, has ended.
            self._fail(error)
            raise
        finally:
            ended.set()
            thread.join()

    def _fail(self, error: Exception) -> None:
        """Record the first failure, after which nothing is written, and end the flushes in progress."""
        is_open = self._opened.done()
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        failure = JournalError(self._describe("written" if is_open else "opened", reason))
        failure.__cause__ = error
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
            unwritten = len(self._pending)
            flushes, self._flushes = self._flushes, []
        if is_open:
            _logger.error("%s; entries that are not in it: %d", failure, unwritten)
        for flushed in flushes:
            flushed.set_result(None)

    def _describe(self, verb: str, reason: object) -> str:
        return f"journal {self._path!r} cannot be {verb}: {reason}"

    def _load(self, file: int) -> None:
        found: JournalHeader | None = None
        end = 0
        with open(file, "rb", buffering=_READ_SIZE, closefd=False) as lines:
            for number, line in enumerate(iter(partial(lines.readline, MAX_LINE_BYTES), b""), 1):
                if self._closing.is_set():
                    return
                value = decode_line(line)
                if value is None and _is_torn(line, end, lines):
                    os.ftruncate(file, end)
                    break
                if number == 1 and not isinstance(value, JournalHeader):
                    msg = "it is not a journal of this library and not empty: choose another file"
                    raise ValueError(msg)
                if value is None:
                    msg = f"line {number} is not an entry of a journal"
                    raise ValueError(msg)
                end += len(line)
                if isinstance(value, JournalHeader):
                    found = value
                else:
                    self._settled.add(value)
        self._settled.sort()
        self._claim(file, found, end)

    def _claim(self, file: int, found: JournalHeader | None, end: int) -> None:
        conflict = found and found.conflict_with(self.header)
        if conflict and (self._settled.counts or self._settled.unsettled or self._settled.uploads):
            msg = f"{conflict}: choose another file"
            raise ValueError(msg)
        if found is None or conflict:
            _write_all(file, encode_header(self.header), end)

    def _drain(self, file: int) -> None:
        # A failed fsync ends the writing as a failed write does.
        self.check()
        state = os.fstat(file)
        if not state.st_nlink:
            msg = "the file was removed meanwhile, with all its entries"
            raise ValueError(msg)
        with self._lock:
            batch, flush_count = self._pending[:], len(self._flushes)
        append(file, b"".join(line for _, line in batch), state.st_size)
        with self._lock:
            del self._pending[: len(batch)]
            flushes = self._flushes[:flush_count]
            del self._flushes[:flush_count]
        for flushed in flushes:
            flushed.set_result(None)


def _is_torn(line: bytes, end: int, lines: IO[bytes]) -> bool:
    """Tell whether an invalid line, `end` bytes after the file's start, is a last one whose writing was interrupted."""
    return not line.endswith(b"}\n") and not lines.read(1) and (end > 0 or line.startswith(MAGIC))


def _uncancellable_future() -> "Future[None]":
    # The cancellation of a task that waits for it does not reach a running future.
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future
