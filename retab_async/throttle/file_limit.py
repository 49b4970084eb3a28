"""Rate limit shared by the processes of one machine: slots in a file, exchanged under its lock."""

import errno
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from retab_async.errors import ConfigurationError
from retab_async.json_codec import dumps, loads
from retab_async.thread_pool import DaemonThreadPool
from retab_async.throttle.slots import SharedRateLimit, SlotReply, SlotRequest, SlotStore, SlotTable

_MAGIC = b"retab_async rate limit 1 "
# Bytes of the magic, the checksum and the line break.
_HEADER_SIZE = len(_MAGIC) + 9
# Bytes: as many as the slots of some hundred thousand requests.
_MAX_SIZE = 16 << 20
# Seconds for the lock, below the limiter's timeout, and between two attempts to get it.
_LOCK_TIMEOUT = 0.4
_LOCK_INTERVAL = 0.0003


class FileRateLimit(SharedRateLimit):
    """Rate limit shared through a file by all processes of one machine with one credential; POSIX only.

    The file is created readable by its owner alone, and holds hashes of credentials. A process that is killed, even in
    the middle of a write, does no harm; nor does a deleted file.

    Args:
        path: The file, on a local file system, best in memory: `/run/app/retab.limit`.
        requests: Number of requests, at least 1.
        per: Seconds, above 0.
        lease: Seconds for which a request counts whose process was killed, or that is still in flight then; by default
            `per` and 30.

    Raises:
        ConfigurationError: One of the values is invalid, the file cannot be used, or the system has no POSIX locks.
    """

    def __init__(self, path: str | os.PathLike[str], requests: int, *, per: float, lease: float | None = None) -> None:
        super().__init__(requests, per=per, lease=lease)
        # A later change of the directory must not change the file.
        self.path: str = os.path.abspath(os.fspath(path))  # noqa: PTH100 - no Path elsewhere
        try:
            with _locked_file(self.path) as file:
                _read_tables(file)
        except BlockingIOError:
            # Another process has it, which may be stopped: it is unavailable at worst.
            pass
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            msg = f"{self.path} cannot hold a rate limit: {reason}"
            raise ConfigurationError(msg) from None

    def open_store(self, fingerprint: str) -> SlotStore:
        """Return the store for the credential with that hash."""
        return _FileStore(self, fingerprint)

    def __repr__(self) -> str:
        return f"FileRateLimit({self.path!r}, {self.requests}, per={self.per:g})"


class _FileStore:
    """Slots of one credential in a file, which is opened for each exchange alone."""

    def __init__(self, limit: FileRateLimit, fingerprint: str) -> None:
        self._limit = limit
        self._fingerprint = fingerprint
        # One thread, which ends when it has nothing to do, and is abandoned if the file system is dead.
        self._pool = DaemonThreadPool(1, "limit")

    async def exchange(self, request: SlotRequest) -> SlotReply:
        return await self._pool.call(self._exchange, request)

    async def aclose(self) -> None:
        """Do nothing: the file is closed."""

    def _exchange(self, request: SlotRequest) -> SlotReply:
        with _locked_file(self._limit.path) as file:
            now = time.monotonic()
            tables = _read_tables(file, now)
            table = tables.setdefault(self._fingerprint, SlotTable())
            reply = table.exchange(self._limit, request, now)
            _write_tables(file, tables, now)
        return reply


@contextmanager
def _locked_file(path: str) -> Iterator[int]:
    try:
        import fcntl  # noqa: PLC0415 - missing on Windows, where everything else must work
    except ImportError:
        msg = "this system has no POSIX file locks, use RedisRateLimit"
        raise ValueError(msg) from None
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            msg = "it is no regular file: name a new one"
            raise ValueError(msg)
        _lock(partial(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB))
        try:
            yield file
        finally:
            # Explicitly: a child that was forked meanwhile shares the lock, and would keep it.
            fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def _lock(try_lock: Callable[[], None]) -> None:
    # Not for ever: its holder may be stopped, or sit behind a dead file system.
    latest = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            try_lock()
        except BlockingIOError:
            if time.monotonic() > latest:
                raise
            time.sleep(_LOCK_INTERVAL)
        else:
            return


def _read_tables(file: int, now: float | None = None) -> dict[str, SlotTable]:
    """Return the table of each credential; none if the content is damaged, or of before the last boot."""
    content = os.pread(file, _MAX_SIZE, 0)
    if not content:
        return {}
    if not content.startswith(_MAGIC):
        msg = "it has other content: name a new file"
        raise ValueError(msg)
    body = content[_HEADER_SIZE:]
    if content[len(_MAGIC) : _HEADER_SIZE] != b"%08x\n" % zlib.crc32(body):
        # A process was killed while it wrote.
        return {}
    stored: dict[str, Any] = loads(body)
    if now is not None and stored["at"] > now:
        return {}
    return {fingerprint: SlotTable(**table) for fingerprint, table in stored["tables"].items()}


def _write_tables(file: int, tables: dict[str, SlotTable], now: float) -> None:
    stored = {
        fingerprint: {
            "epoch": table.epoch,
            "closed_until": table.closed_until,
            "calls_until": table.calls_until,
            "kept_until": table.kept_until,
            "slots": table.slots,
        }
        for fingerprint, table in tables.items()
        if table.kept_until > now
    }
    body = dumps({"at": now, "tables": stored})
    content = _MAGIC + b"%08x\n" % zlib.crc32(body) + body
    if os.pwrite(file, content, 0) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, len(content))
