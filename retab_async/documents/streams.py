"""Documents in file objects of the caller's, which are read in threads, one read at a time."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from inspect import iscoroutinefunction
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any, Protocol

import attrs

from retab_async.documents.signatures import HEAD
from retab_async.documents.sources import PIECE, Form, Label
from retab_async.errors import InvalidDocumentError


class BinaryFile(Protocol):
    """What can be read from: an open file, a pipe, a `BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, and none at the end."""


@attrs.frozen(eq=False)
class Stream:
    """A document in a file object that can go back to where it stood."""

    file: IO[bytes]
    start: int
    label: Label
    lock: Lock

    async def read(self, start: int, count: int, form: Form) -> bytes:
        """Return so many bytes in a form; `InvalidDocumentError` where the file has fewer now, or is used elsewhere."""
        return await asyncio.to_thread(self._read, self.start + start, min(count, self.label.size - start), form)

    def _read(self, start: int, count: int, form: Form) -> bytes:
        # A call that was cancelled may have left a thread in here.
        with self.lock, _read_of(self.file):
            self.file.seek(start)
            piece = _read_fully(self.file, count)
            if len(piece) != count or self.file.tell() != start + count:
                msg = f"this {type(self.file).__name__} changed, or was read elsewhere, while it was being sent"
                raise InvalidDocumentError(msg)
            return form(piece)


@asynccontextmanager
async def streamed(file: Any) -> AsyncIterator[Stream]:
    """Give the source that reads a file object from where it stands to its end.

    What cannot go back is copied to a temporary file first, which is closed at the end. `InvalidDocumentError` for a
    text file, and for one that is empty, closed, or cannot be read.
    """
    _check_mode(file)
    name, seekable = await asyncio.to_thread(_ask, file)
    if seekable:
        yield await asyncio.to_thread(_measure, file, name, Lock())
        return
    copy = _Copy(file)
    try:
        while await asyncio.to_thread(copy.take_piece):
            pass
        yield await asyncio.to_thread(_measure, copy.whole, name, copy.lock, of=file)
    finally:
        # The closing goes on, in its thread, whatever becomes of this task.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, copy.close))


def _check_mode(file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        msg = f"this {type(file).__name__} gives text: open the file in mode 'rb'"
        raise InvalidDocumentError(msg)
    if iscoroutinefunction(file.read):
        msg = f"the read() of this {type(file).__name__} is async: pass the file below it, or the bytes it reads"
        raise InvalidDocumentError(msg)


def _ask(file: Any) -> tuple[str, bool]:
    with _read_of(file):
        name = getattr(file, "name", None)
        told = os.path.basename(name) if isinstance(name, str) else ""  # noqa: PTH119 - a text, maybe of no path
        # What is between brackets is no name: "<stdin>".
        return "" if told.startswith("<") else told, hasattr(file, "seekable") and bool(file.seekable())


def _measure(file: IO[bytes], name: str, lock: Lock, of: Any = None) -> Stream:
    told = type(of or file).__name__
    with lock, _read_of(of or file):
        start = 0 if of else file.tell()
        file.seek(0, os.SEEK_END)
        size = file.tell() - start
        file.seek(start)
        if size <= 0:
            msg = f"this {told} has nothing to read: it is empty, or at its end already (seek(0) goes back)"
            raise InvalidDocumentError(msg)
        # Read in any case: what gives no bytes is to be found out before anything is sent.
        head = _read_fully(file, min(size, HEAD))
        file.seek(start)
        return Stream(file, start, Label.of(name, size, lambda: head), lock)


class _Copy:
    """A copy of what can be read only once."""

    def __init__(self, origin: BinaryFile) -> None:
        self.lock = Lock()
        self._origin = origin
        self._file: IO[bytes] | None = None
        self._closed = False

    @property
    def whole(self) -> IO[bytes]:
        return self._file or io.BytesIO()

    def take_piece(self) -> int:
        # Read outside the lock: a pipe may keep a thread waiting for ever, and with it whoever wants to close.
        with _read_of(self._origin):
            piece = _read_fully(self._origin, PIECE)
            with self.lock:
                if piece and not self._closed:
                    self._file = self._file or TemporaryFile()  # noqa: SIM115 - outlives this call
                    self._file.write(piece)
        return len(piece)

    def close(self) -> None:
        with self.lock, suppress(OSError):
            self._closed = True
            if self._file is not None:
                self._file.close()


def _read_fully(file: BinaryFile, count: int) -> bytes:
    pieces = []
    while count > 0 and (piece := _checked(file, file.read(count))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _checked(file: BinaryFile, piece: Any) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        msg = f"this {type(file).__name__} gives {type(piece).__name__} where bytes are wanted"
        raise InvalidDocumentError(msg)
    return bytes(piece)


@contextmanager
def _read_of(file: object) -> Iterator[None]:
    # It is the caller's own object, and may raise anything.
    try:
        yield
    except InvalidDocumentError:
        raise
    except Exception as error:
        msg = f"this {type(file).__name__} cannot be read: {type(error).__name__}: {error}"
        raise InvalidDocumentError(msg) from error
