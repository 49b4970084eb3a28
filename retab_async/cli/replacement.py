"""Files that a command writes whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

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
        written = _create_beside(target) if is_replaceable else target
        file = written.open("wb", buffering=0)
    except OSError as error:
        raise click.UsageError(_failure(path, error)) from None
    try:
        with file:
            yield file
        if is_replaceable:
            written.replace(target)
    finally:
        if is_replaceable:
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


def _create_beside(target: Path) -> Path:
    mode = None
    if target.exists():
        # A file that is write-protected must not be replaced.
        target.open("ab").close()
        mode = stat.S_IMODE(target.stat().st_mode)
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    temporary.touch(exist_ok=False)
    if mode is not None:
        temporary.chmod(mode)
    return temporary
