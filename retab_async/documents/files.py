"""Files: opens paths and file objects of the caller's as sources, so that they may be closed or removed meanwhile."""

import io
import os
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from inspect import iscoroutinefunction
from tempfile import TemporaryFile
from typing import Any

from retab_async.documents.sources import (
    PIECE_SIZE,
    SharedDescriptor,
    Source,
    basename,
    bytes_source,
    open_file_source,
)
from retab_async.errors import InvalidDocumentError
from retab_async.protocol import MIB
from retab_async.thread_pool import FILE_POOL

# Without waiting for a pipe's writer, and on Windows without translating line ends.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_MAX_SHOWN_PATH = 200
# No system accepts a longer path.
_MAX_PATH = 4096
# Bytes of a stream that are copied at most: some, such as those of /proc, never end.
_MAX_COPY_BYTES = 1024 * MIB
# Milliseconds between two looks of a thread that waits for a pipe whether its caller still waits.
_POLL_INTERVAL = 100


def open_path(path: str | os.PathLike[str], filename: str, descriptor: SharedDescriptor) -> Source:
    """Open a file by its path.

    Args:
        path: The path.
        filename: The filename to send; empty for the last part of the path.
        descriptor: Receives the open descriptor.

    Raises:
        InvalidDocumentError: The file is missing, unreadable, empty or not a regular file.
    """
    shown = os.fspath(path)
    if not shown:
        msg = "the path of the document is empty"
        raise InvalidDocumentError(msg)
    label = f"{shown!r:.{_MAX_SHOWN_PATH}}"
    try:
        source = _open_regular_file(shown, label, filename, descriptor)
    except (OSError, ValueError) as error:
        msg = f"{label} cannot be read: {getattr(error, 'strerror', None) or error}"
        if len(shown) > _MAX_PATH:
            msg += "; a str is taken for a path: give the document itself as bytes, or as a data: URL"
        raise InvalidDocumentError(msg) from error
    if source is None:
        msg = f"{label} is empty"
        raise InvalidDocumentError(msg)
    return source


def _open_regular_file(path: str, label: str, filename: str, descriptor: SharedDescriptor) -> Source | None:
    with ExitStack() as stack:
        number = os.open(path, _OPEN_FLAGS)
        stack.callback(os.close, number)
        # Of what was opened, not of the path: another file may have taken its place.
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            msg = f"{label} is a {'directory' if stat.S_ISDIR(state.st_mode) else 'device or pipe'}, not a file"
            raise InvalidDocumentError(msg)
        filename = filename or basename(os.fsdecode(path))
        if not state.st_size:
            # Files of /proc have content and no size.
            with os.fdopen(number, "rb", 0, closefd=False) as file:
                return _copy(file, label, filename, descriptor)
        stack.pop_all()
        descriptor.set(number)
    return open_file_source(label, descriptor, filename)


def open_file_object(file: Any, filename: str, descriptor: SharedDescriptor) -> Source:
    """Return the source of a file object, from its position to its end; a seekable one keeps its position.

    Regular files are read through a duplicate of their descriptor and a `BytesIO` shares its bytes, so several creates
    may use one at a time. Anything else is read and copied: pass such an object to one create at a time.

    Args:
        file: The file object.
        filename: The filename to send; empty for the object's own.
        descriptor: Receives the open descriptor.

    Raises:
        InvalidDocumentError: The file is a text file, empty, closed, or cannot be read.
    """
    label = f"this {type(file).__name__}"
    if isinstance(file, io.TextIOBase):
        msg = f"{label} gives text: open the file in mode 'rb'"
        raise InvalidDocumentError(msg)
    inner = _unwrapped(file)
    with _as_document_errors(label):
        filename = filename or _name_of(file)
        source = _share(inner, label, filename, descriptor)
        if source is None:
            source = _read_through(inner, label, filename, descriptor)
    return _not_empty(source, label)


async def open_async_file_object(file: Any, filename: str, descriptor: SharedDescriptor) -> Source:
    """Return the source of an async file object, which is read on the loop and copied; as for `open_file_object`."""
    label = f"this {type(file).__name__}"
    copy = _Copy(label, descriptor)
    with _as_document_errors(label):
        start = await _async_position(file)
        while await FILE_POOL.call(copy.write, await file.read(PIECE_SIZE)):
            pass
        if start is not None:
            await file.seek(start)
        filename = filename or _name_of(file)
    return _not_empty(await FILE_POOL.call(copy.source, filename), label)


async def _async_position(file: Any) -> int | None:
    tell = getattr(file, "tell", None)
    if not iscoroutinefunction(tell):
        return None
    # Pipes have none.
    with suppress(OSError):
        position: int = await tell()
        return position
    return None


def _not_empty(source: Source | None, label: str) -> Source:
    if source is None:
        msg = f"{label} has nothing to read: it is empty, or at its end already (seek(0) goes back)"
        raise InvalidDocumentError(msg)
    return source


def _unwrapped(file: Any) -> Any:
    # The file inside Python's own temporary files; both attributes are documented.
    if type(file) is tempfile.SpooledTemporaryFile:
        return file._file  # noqa: SLF001
    return file.file if type(file) is tempfile._TemporaryFileWrapper else file  # noqa: SLF001


def _name_of(file: Any) -> str:
    # Uploads of web frameworks have a `filename`; their `name` may be that of the form's field.
    attributes = ("name",) if isinstance(file, io.IOBase) else ("filename", "name")
    names = (getattr(file, attribute, None) for attribute in attributes)
    name = next((basename(name) for name in names if isinstance(name, str)), "")
    # Python puts in angle brackets what is no filename, such as "<stdin>".
    return "" if name.startswith("<") else name


@contextmanager
def _as_document_errors(label: str) -> Iterator[None]:
    """Turn any exception of the caller's object into an `InvalidDocumentError`."""
    try:
        yield
    except InvalidDocumentError:
        raise
    except Exception as error:
        msg = f"{label} cannot be read: {type(error).__name__}: {error}"
        raise InvalidDocumentError(msg) from error


def _share(file: Any, label: str, filename: str, descriptor: SharedDescriptor) -> Source | None:
    if type(file) is io.BytesIO:
        # No copy, and no lock on the object: it copies by itself if it is written to.
        rest = memoryview(file.getvalue())[file.tell() :]
        return bytes_source(rest, filename) if rest else None
    if not (_is_plain(file) and file.readable()):
        return None
    state = os.fstat(file.fileno())
    if stat.S_ISCHR(state.st_mode) and file.seekable():
        # A terminal is not seekable and ends; /dev/zero is and does not.
        msg = f"{label} is a device, not a file"
        raise InvalidDocumentError(msg)
    # Without `pread`, to read from a duplicate would move the position of the caller's file.
    if not stat.S_ISREG(state.st_mode) or not hasattr(os, "pread"):
        return None
    file.flush()
    start = file.tell()
    # Files of /proc have content and no size.
    if os.fstat(file.fileno()).st_size <= start:
        return None
    descriptor.set(os.dup(file.fileno()))
    return open_file_source(label, descriptor, filename, start)


def _is_plain(file: Any) -> bool:
    """Tell whether a file object is one of Python's own on a descriptor, without any layer in between."""
    return type(file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file) is io.FileIO


def _read_through(file: Any, label: str, filename: str, descriptor: SharedDescriptor) -> Source | None:
    start = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    try:
        return _copy(file, label, filename, descriptor)
    finally:
        if start is not None:
            # The document was read; only the next reader of the file misses the position.
            with suppress(Exception):
                file.seek(start)


def _copy(file: Any, label: str, filename: str, descriptor: SharedDescriptor) -> Source | None:
    copy = _Copy(label, descriptor)
    with _as_document_errors(label):
        read = _reader_of(file, descriptor)
        while not descriptor.is_released and copy.write(read(PIECE_SIZE)):
            pass
    return copy.source(filename)


class _Copy:
    """The copy of a stream: in memory up to `PIECE_SIZE` bytes, beyond that in a temporary file."""

    def __init__(self, label: str, descriptor: SharedDescriptor) -> None:
        self._label = label
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._size = 0
        self._has_file = False

    def write(self, piece: Any) -> int:
        """Append a piece and return its length; `InvalidDocumentError` if it is not bytes or cannot be written."""
        if not isinstance(piece, bytes | bytearray | memoryview):
            msg = f"{self._label} gives {type(piece).__name__} where bytes are expected"
            raise InvalidDocumentError(msg)
        self._size += len(piece)
        if self._size > _MAX_COPY_BYTES:
            msg = f"{self._label} gives more than {_MAX_COPY_BYTES // MIB} MiB: save it to a file and pass the path"
            raise InvalidDocumentError(msg)
        self._buffer += piece
        if len(self._buffer) > PIECE_SIZE:
            self._flush()
        return len(piece)

    def source(self, filename: str) -> Source | None:
        """Return the source of what was written, None if that is nothing."""
        if self._has_file:
            self._flush()
            return open_file_source(self._label, self._descriptor, filename)
        return bytes_source(bytes(self._buffer), filename) if self._buffer else None

    def _flush(self) -> None:
        try:
            if not self._has_file:
                with TemporaryFile(buffering=0) as file:
                    self._descriptor.set(os.dup(file.fileno()))
                self._has_file = True
            with self._descriptor.borrow() as number, os.fdopen(number, "wb", closefd=False) as file:
                file.write(self._buffer)
        except (OSError, ValueError) as error:
            msg = f"{self._label} cannot be copied to a temporary file: {getattr(error, 'strerror', None) or error}"
            raise InvalidDocumentError(msg) from error
        self._buffer.clear()


def _reader_of(file: Any, descriptor: SharedDescriptor) -> Callable[[int], Any]:
    if not (_is_plain(file) and hasattr(select, "poll")):
        read: Callable[[int], Any] = file.read
        return read
    # A thread that is blocked in `read` never ends, and blocks every `close` of the file as well. What is in the file's
    # buffer is read when more arrives, at the end at the latest.
    poll = select.poll()
    poll.register(file.fileno(), select.POLLIN)

    def read_when_ready(count: int) -> Any:
        while not poll.poll(_POLL_INTERVAL):
            if descriptor.is_released:
                return b""
        return getattr(file, "read1", file.read)(count)

    return read_when_ready
