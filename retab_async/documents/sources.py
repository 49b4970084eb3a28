"""What the bytes of a document are had from, piece by piece, and what is told of them; those in memory."""

import asyncio
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Semaphore
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from retab_async.documents.media_types import HEAD, extension_of, type_by_content, type_by_name
from retab_async.documents.thread_pool import FILE_POOL
from retab_async.errors import InvalidDocumentError

# Bytes of a document that are read and encoded at once: few enough to keep memory and the time for which a thread holds
# the interpreter small, enough for the way to a thread not to count, and a multiple of 3, which base64 joins up at.
PIECE = 3 * 128 * 1024

# The categories of control characters and of what ends lines.
_UNPRINTED = frozenset({"Cc", "Zl", "Zp"})

# In what form a piece is wanted: as it is (`bytes`), or encoded. It is given it where the piece is read, which for
# files is a thread.
Encoder: TypeAlias = Callable[[bytes | memoryview], bytes]


class DocumentInfo(NamedTuple):
    """What is told of a document beside its bytes."""

    filename: str
    media_type: str
    size: int

    @classmethod
    def of(cls, filename: str, size: int, head: Callable[[], bytes], *, declared: str = "") -> "DocumentInfo":
        """Return the label of what has this name, which may be empty; `head` reads its start, where that is needed."""
        filename = written(filename)
        media_type = declared or type_by_name(filename) or type_by_content(head())
        return cls(filename or f"document{extension_of(media_type)}", media_type, size)


class Source(Protocol):
    """The bytes of a document, to be had as often as need be."""

    @property
    def label(self) -> DocumentInfo:
        """What is told of them."""

    async def read(self, start: int, count: int, form: Encoder) -> bytes:
        """Return so many bytes in a form, or what there is up to the end; `InvalidDocumentError` where they changed."""


def written(filename: str) -> str:
    """Return a name of one line as it can be written in JSON, where no other than UTF-8 can; "" for a blank one."""
    if not filename.isprintable():
        filename = "".join(each for each in filename if unicodedata.category(each) not in _UNPRINTED)
    return filename.encode(errors="replace").decode() if filename.strip() else ""


def last_part(place: str) -> str:
    """Return the name at the end of a path, of whatever system: where a file is kept is not told to anybody."""
    return re.split(r"[/\\]", place)[-1]


@attrs.frozen(eq=False)
class BytesSource:
    """A document in memory."""

    view: memoryview = attrs.field(repr=False)
    label: DocumentInfo

    async def read(self, start: int, count: int, form: Encoder) -> bytes:
        """Return so many bytes in a form."""
        # A socket that takes whatever it is given would have the loop encode a whole document in one go.
        await asyncio.sleep(0)
        return form(self.view[start : start + count])


def bytes_source(content: bytes | bytearray | memoryview, filename: str = "", media_type: str = "") -> BytesSource:
    """Return the source that reads these bytes; `InvalidDocumentError` where there are none."""
    try:
        view = memoryview(content)
        view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    except ValueError as error:
        msg = f"this memoryview cannot be read: {error}"
        raise InvalidDocumentError(msg) from error
    if not view.nbytes:
        msg = "the document is empty"
        raise InvalidDocumentError(msg)
    return BytesSource(view, DocumentInfo.of(filename, view.nbytes, lambda: bytes(view[:HEAD]), declared=media_type))


# How many are kept in the process; it needs as many more for its connections, and the least that systems allow is 256.
_ROOM = Semaphore(100)


class SharedDescriptor:
    """Keeps one descriptor for all reads of a document; once it is left, the last thread that reads closes it.

    Where there is no room to keep another one, each read has its own.
    """

    def __init__(self) -> None:
        self.is_left = False
        self._lock = Lock()
        self._seeking = Lock()
        self._kept: int | None = None
        self._has_room = False
        self._readers = 0

    @contextmanager
    def descriptor(self, get: Callable[[], int]) -> Iterator[int]:
        """Give the descriptor; `get` gives one where none is kept."""
        with self._lock:
            self._readers += 1
            number = self._kept
        try:
            if number is None:
                number = get()
                self._offer(number)
            yield number
        finally:
            with self._lock:
                self._readers -= 1
                if number is not None and number != self._kept:
                    _close(number)
                self._close_if_over()

    def read(self, number: int, start: int, count: int) -> bytes:
        """Return so many bytes, or what there is up to the end, without moving about in a file that others read too."""
        pieces = []
        while count > 0 and (piece := self._read_some(number, start, count)):
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return b"".join(pieces)

    def keep(self, number: int) -> None:
        """Keep a descriptor that cannot be had again, room or not."""
        with self._lock:
            self._kept = number
            self._close_if_over()

    def leave(self) -> None:
        """Close it, now or when the thread is back that reads from it; this waits for nobody."""
        with self._lock:
            self.is_left = True
            self._close_if_over()

    def _offer(self, number: int) -> None:
        with self._lock:
            if self._kept is None and not self.is_left and _ROOM.acquire(blocking=False):
                self._kept, self._has_room = number, True

    def _close_if_over(self) -> None:
        if self._kept is None or self._readers or not self.is_left:
            return
        _close(self._kept)
        self._kept = None
        if self._has_room:
            _ROOM.release()

    def _read_some(self, number: int, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(number, count, start)
        # On Windows. A call that was cancelled may have left a thread in here.
        with self._seeking:
            os.lseek(number, start, os.SEEK_SET)
            return os.read(number, count)


def _close(number: int) -> None:
    # It was for reading alone: nothing is lost.
    with suppress(OSError):
        os.close(number)


@attrs.frozen(eq=False)
class FileSource:
    """A document in a file from `start` on; `get` gives a descriptor of it, and `told` is what messages call it."""

    told: str
    get: Callable[[], int]
    keeping: SharedDescriptor
    start: int
    mark: tuple[int, ...]
    label: DocumentInfo

    async def read(self, start: int, count: int, form: Encoder) -> bytes:
        """Return so many bytes in a form; `InvalidDocumentError` where the file is not the one it was."""
        return await FILE_POOL.call(self._read, self.start + start, min(count, self.label.size - start), form)

    def _read(self, start: int, count: int, form: Encoder) -> bytes:
        try:
            with self.keeping.descriptor(self.get) as number:
                piece = self.keeping.read(number, start, count)
                mark = _mark(os.fstat(number))
        except (OSError, ValueError) as error:
            msg = f"{self.told} cannot be read any more: {getattr(error, 'strerror', None) or error}"
            raise InvalidDocumentError(msg) from error
        if mark != self.mark or len(piece) != count:
            msg = f"{self.told} changed while it was being sent"
            raise InvalidDocumentError(msg)
        return form(piece)


def open_file_source(
    told: str, get: Callable[[], int], keeping: SharedDescriptor, name: str, start: int = 0
) -> FileSource:
    """Return the source that reads a file which has something behind `start`; raises `OSError`."""
    with keeping.descriptor(get) as number:
        state = os.fstat(number)
        label = DocumentInfo.of(name, state.st_size - start, lambda: keeping.read(number, start, HEAD))
    return FileSource(told, get, keeping, start, _mark(state), label)


def _mark(state: os.stat_result) -> tuple[int, ...]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
