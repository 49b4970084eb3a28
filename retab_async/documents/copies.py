"""Copies of documents that can be read only once, or by nobody else meanwhile: in memory while small, else on disk."""

import io
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

from retab_async.documents.disk import found
from retab_async.documents.keeping import Keeping
from retab_async.documents.sources import PIECE, Source, in_memory
from retab_async.errors import InvalidDocumentError

# Milliseconds after which a thread that waits for a pipe looks whether anybody still wants what comes.
_TICK = 100


def copied(file: Any, told: str, name: str, keeping: Keeping) -> Source | None:
    """Return the source of all that a file object gives from where it stands, None where that is nothing.

    It ends early where the `keeping` is left. `InvalidDocumentError` for one that cannot be read or copied; `told` is
    what messages call it.
    """
    first = _read_fully(file, told, keeping)
    if len(first) < PIECE:
        return in_memory(first, name) if first else None
    try:
        with TemporaryFile() as copy:
            piece = first
            while piece:
                copy.write(piece)
                piece = _read_fully(file, told, keeping)
            copy.flush()
            keeping.keep(os.dup(copy.fileno()))
            return found(told, lambda: os.dup(copy.fileno()), keeping, name)
    except OSError as error:
        msg = f"{told} cannot be copied to a temporary file: {error.strerror or error}"
        raise InvalidDocumentError(msg) from error


@contextmanager
def reading(told: str) -> Iterator[None]:
    """Turn what a caller's own object raises, which may be anything, into an `InvalidDocumentError`."""
    try:
        yield
    except InvalidDocumentError:
        raise
    except Exception as error:
        msg = f"{told} cannot be read: {type(error).__name__}: {error}"
        raise InvalidDocumentError(msg) from error


def is_plain(file: Any) -> bool:
    """Tell whether a file object is one of Python's own on a descriptor, with nothing in between."""
    return type(file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file) is io.FileIO


def _read_fully(file: Any, told: str, keeping: Keeping) -> bytes:
    pieces = []
    left = PIECE
    with reading(told):
        more = _more_of(file, keeping)
        while left > 0 and not keeping.is_left and (piece := _checked(told, more(left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _more_of(file: Any, keeping: Keeping) -> Callable[[int], Any]:
    if not (is_plain(file) and hasattr(select, "poll")):
        more: Callable[[int], Any] = file.read
        return more
    # Not in `read`, where the thread might stay for ever, and with it whoever wants to close the file: that is kept
    # waiting while a read is under way. What is in its buffer is there still when something comes, the end at last.
    waiting = select.poll()
    waiting.register(file.fileno(), select.POLLIN)

    def read_when_ready(count: int) -> Any:
        while not waiting.poll(_TICK):
            if keeping.is_left:
                return b""
        return getattr(file, "read1", file.read)(count)

    return read_when_ready


def _checked(told: str, piece: Any) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        msg = f"{told} gives {type(piece).__name__} where bytes are wanted"
        raise InvalidDocumentError(msg)
    return bytes(piece)
