"""Sources: the bytes of a document, in memory or in a file, read piece by piece and as often as needed."""

import asyncio
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from retab_async.documents.media_types import HEAD_SIZE, extension_of, type_by_content, type_by_name
from retab_async.errors import InvalidDocumentError
from retab_async.thread_pool import FILE_POOL

# Bytes of a document that are read and encoded at once: few enough to bound memory and the time for which a thread
# holds the interpreter, enough to make the thread hop cheap, and a multiple of 3, so that base64 pieces join up.
PIECE_SIZE = 3 * 128 * 1024

# The categories of control characters and of line ends.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp"})

# Turns a piece into what is sent: `bytes`, or a base64 encoder. Runs where the piece is read; for files in a thread.
Encoder: TypeAlias = Callable[[bytes | memoryview], bytes]


class DocumentInfo(NamedTuple):
    """The filename, media type and size in bytes of a document."""

    filename: str
    media_type: str
    size: int

    @classmethod
    def of(cls, filename: str, size: int, read_head: Callable[[], bytes], *, declared: str = "") -> "DocumentInfo":
        """Return the info of a document.

        Args:
            filename: Its name; empty for one derived from the media type.
            size: Bytes.
            read_head: Reads its first `HEAD_SIZE` bytes; called only if the name does not tell the media type.
            declared: The media type if the caller declared one.
        """
        filename = clean_filename(filename)
        media_type = declared or type_by_name(filename) or type_by_content(read_head())
        return cls(filename or f"document{extension_of(media_type)}", media_type, size)


class Source(Protocol):
    """The bytes of a document, readable any number of times."""

    @property
    def info(self) -> DocumentInfo:
        """Its filename, media type and size."""

    async def read(self, start: int, count: int, encode: Encoder) -> bytes:
        """Return `count` bytes, encoded, or those up to the end; `InvalidDocumentError` if the document changed."""


def clean_filename(filename: str) -> str:
    """Return a filename on one line and in valid UTF-8; "" for a blank one."""
    if not filename.isprintable():
        filename = "".join(each for each in filename if unicodedata.category(each) not in _UNPRINTABLE)
    return filename.encode(errors="replace").decode() if filename.strip() else ""


def basename(path: str) -> str:
    """Return the last part of a path of any system: the folders of the caller's machine are not sent."""
    return re.split(r"[/\\]", path)[-1]


@attrs.frozen(eq=False)
class BytesSource:
    """A document in memory."""

    view: memoryview = attrs.field(repr=False)
    info: DocumentInfo

    async def read(self, start: int, count: int, encode: Encoder) -> bytes:
        """Return `count` bytes, encoded."""
        # A socket that accepts everything at once would make the loop encode a whole document in one go.
        await asyncio.sleep(0)
        return encode(self.view[start : start + count])


def bytes_source(content: bytes | bytearray | memoryview, filename: str = "", media_type: str = "") -> BytesSource:
    """Return the source of these bytes; `InvalidDocumentError` if there are none."""
    try:
        view = memoryview(content)
        view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    except ValueError as error:
        msg = f"this memoryview cannot be read: {error}"
        raise InvalidDocumentError(msg) from error
    if not view.nbytes:
        msg = "the document is empty"
        raise InvalidDocumentError(msg)
    info = DocumentInfo.of(filename, view.nbytes, lambda: bytes(view[:HEAD_SIZE]), declared=media_type)
    return BytesSource(view, info)


class SharedDescriptor:
    """A file descriptor that concurrent reads share; once it is released, the last reader closes it.

    Reads run in threads that outlive a cancelled call, and a number that was closed may already name another file.
    """

    def __init__(self) -> None:
        self.is_released: bool = False
        self._lock = Lock()
        self._seek_lock = Lock()
        self._number: int | None = None
        self._readers = 0

    def set(self, number: int) -> None:
        """Take over a descriptor, and close it at once if the document is not needed any more."""
        with self._lock:
            self._number = number
            self._close_if_unused()

    def release(self) -> None:
        """Close it now, or when the thread that reads from it returns; never blocks."""
        with self._lock:
            self.is_released = True
            self._close_if_unused()

    @contextmanager
    def borrow(self) -> Iterator[int]:
        """Keep the descriptor open for a block; `ValueError` if it is closed."""
        with self._lock:
            if self._number is None:
                msg = "it is closed"
                raise ValueError(msg)
            number = self._number
            self._readers += 1
        try:
            yield number
        finally:
            with self._lock:
                self._readers -= 1
                self._close_if_unused()

    def read(self, number: int, start: int, count: int) -> bytes:
        """Return `count` bytes, or those up to the end, without moving the position that the caller's file shares."""
        pieces = []
        while count > 0 and (piece := self._read_some(number, start, count)):
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return b"".join(pieces)

    def _read_some(self, number: int, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(number, count, start)
        # On Windows, where a cancelled call may have left another thread in here.
        with self._seek_lock:
            os.lseek(number, start, os.SEEK_SET)
            return os.read(number, count)

    def _close_if_unused(self) -> None:
        if self._number is None or self._readers or not self.is_released:
            return
        # It was only read from: no error of close() loses anything.
        with suppress(OSError):
            os.close(self._number)
        self._number = None


@attrs.frozen(eq=False)
class FileSource:
    """A document in an open file, from `offset` to its end; `label` names it in messages."""

    label: str
    descriptor: SharedDescriptor
    offset: int
    state: os.stat_result
    info: DocumentInfo

    async def read(self, start: int, count: int, encode: Encoder) -> bytes:
        """Return `count` bytes, encoded; `InvalidDocumentError` if the file changed since it was opened."""
        return await FILE_POOL.call(self._read, self.offset + start, min(count, self.info.size - start), encode)

    def _read(self, start: int, count: int, encode: Encoder) -> bytes:
        try:
            with self.descriptor.borrow() as number:
                piece = self.descriptor.read(number, start, count)
                state = os.fstat(number)
        except (OSError, ValueError) as error:
            msg = f"{self.label} cannot be read any more: {getattr(error, 'strerror', None) or error}"
            raise InvalidDocumentError(msg) from error
        if len(piece) != count or not _is_unchanged(self.state, state):
            msg = f"{self.label} changed while it was being sent"
            raise InvalidDocumentError(msg)
        return encode(piece)


def open_file_source(label: str, descriptor: SharedDescriptor, filename: str, offset: int = 0) -> FileSource:
    """Return the source of a file with something after `offset`; raises `OSError`."""
    with descriptor.borrow() as number:
        state = os.fstat(number)
        info = DocumentInfo.of(filename, state.st_size - offset, lambda: descriptor.read(number, offset, HEAD_SIZE))
    return FileSource(label, descriptor, offset, state, info)


def _is_unchanged(before: os.stat_result, now: os.stat_result) -> bool:
    # Programs can restore the time of modification but not that of the last change, which unlinking sets as well.
    is_unlinked = now.st_nlink < before.st_nlink
    is_same = (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    return is_same and (is_unlinked or before.st_ctime_ns == now.st_ctime_ns)
