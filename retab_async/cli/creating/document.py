"""FILE, as it is typed: a path, `-` for stdin, an https:// URL."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

import click


@contextmanager
def document_of(file: str) -> Iterator[str | IO[bytes]]:
    """Give the document that FILE stands for; stdin is read to its end first, and can be interrupted."""
    if file != "-":
        yield file
        return
    if sys.stdin is None:
        msg = "stdin is closed: there is nothing to read"
        raise click.UsageError(msg)
    with TemporaryFile() as copy:
        try:
            # Not by the library, in a thread: one that waits for the next byte holds up the end of the program.
            shutil.copyfileobj(sys.stdin.buffer, copy)
        except OSError as error:
            msg = f"stdin cannot be read: {error.strerror}"
            raise click.UsageError(msg) from None
        copy.seek(0)
        yield copy
