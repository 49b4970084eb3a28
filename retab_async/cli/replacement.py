"""Files that a command writes whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EWOULDBLOCK
from pathlib import Path
from typing import IO

import click


@contextmanager
def open_replacement(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing; it replaces an existing one only if the block ends without an exception.

    Raises:
        click.UsageError: The file cannot be written.
    """
    target = Path(os.path.realpath(path))
    # A device or a pipe cannot be replaced.
    is_replaceable = target.is_file() or not target.exists()
    try:
        file = _open_beside(target) if is_replaceable else target.open("wb", buffering=0)
    except OSError as error:
        raise click.UsageError(_failure(path, error)) from None
    with file:
        if not is_replaceable:
            yield file
            return
        written = _temporary_of(target)
        try:
            yield file
            written.replace(target)
        finally:
            written.unlink(missing_ok=True)


def write_all(file: IO[bytes], content: bytes, path: str) -> None:
    """Write to an unbuffered file.

    Raises:
        click.ClickException: The file cannot be written.
    """
    view = memoryview(content)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise click.ClickException(_failure(path, error)) from None


def _failure(path: str, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror}"


def _temporary_of(target: Path) -> Path:
    # The same name every time: the next command takes over what a killed one has left.
    return target.with_name(f".{target.name}.tmp")


def _open_beside(target: Path) -> IO[bytes]:
    mode = None
    if target.exists():
        # A file that is write-protected must not be replaced.
        target.open("ab").close()
        mode = stat.S_IMODE(target.stat().st_mode)
    temporary = _temporary_of(target)
    # In a folder that others may write to, a link would lead elsewhere.
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(temporary, flags, 0o666), "wb", buffering=0)
    try:
        _lock(file)
        file.truncate(0)
        if mode is not None:
            temporary.chmod(mode)
    except BaseException:
        file.close()
        raise
    return file


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl  # noqa: PLC0415 - missing on Windows, where everything else must work
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(EWOULDBLOCK, "another command is writing it") from None
