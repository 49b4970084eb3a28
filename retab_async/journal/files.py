"""The file of a journal: held by one job, and longer by a whole batch or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def held(path: str) -> Iterator[int]:
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
