"""Documents in file objects of the caller's: what they hold is taken over, so that they may be closed meanwhile."""

import io
import os
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, Protocol
from weakref import WeakValueDictionary

from retab_async.documents.sources import PIECE, SharedDescriptor, Source, bytes_source, last_part, open_file_source
from retab_async.errors import InvalidDocumentError

# Milliseconds after which a thread that waits for a pipe looks whether anybody still wants what comes.
_TICK = 100


def copy_file(file: Any, told: str, name: str, keeping: SharedDescriptor) -> Source | None:
    """Return the source of all that a file object gives from where it stands, None where that is nothing.

    It ends early where the `keeping` is left. `InvalidDocumentError` for one that cannot be read or copied; `told` is
    what messages call it.
    """
    first = _read_fully(file, told, keeping)
    if len(first) < PIECE:
        return bytes_source(first, name) if first else None
    try:
        with TemporaryFile() as copy:
            piece = first
            while piece:
                copy.write(piece)
                piece = _read_fully(file, told, keeping)
            copy.flush()
            keeping.keep(os.dup(copy.fileno()))
            return open_file_source(told, lambda: os.dup(copy.fileno()), keeping, name)
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


def _read_fully(file: Any, told: str, keeping: SharedDescriptor) -> bytes:
    pieces = []
    left = PIECE
    with reading(told):
        more = _more_of(file, keeping)
        while left > 0 and not keeping.is_left and (piece := _checked(told, more(left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _more_of(file: Any, keeping: SharedDescriptor) -> Callable[[int], Any]:
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


class BinaryFile(Protocol):
    """What can be read from: an open file, a pipe, a `BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, and none at the end."""


def open_file_object(file: Any, keeping: SharedDescriptor) -> Source:
    """Return the source of what a file object has from where it stands to its end; one that can go back stays there.

    A file on disk is read by a descriptor of our own, a `BytesIO` shares its bytes, anything else is copied. Only while
    this is under way has the object to be open. Calls for the same object have their turns.

    `InvalidDocumentError` for a text file, and for one that is empty, closed, or cannot be read.
    """
    told = f"this {type(file).__name__}"
    _check_mode(file, told)
    inner = _inner(file)
    turn = _turn_of(inner)
    with reading(told), turn.lock:
        name = _name_of(file)
        source = _shared(inner, told, name, keeping) or _read_through(inner, told, name, keeping)
    if source is None:
        msg = f"{told} has nothing to read: it is empty, or at its end already (seek(0) goes back)"
        raise InvalidDocumentError(msg)
    return source


class _Turn:
    """Whose turn it is with a file object."""

    def __init__(self, file: object) -> None:
        # Has the object, or the next one might come to have its id.
        self.file = file
        self.lock = Lock()


# By the ids of the objects, which need not be hashable. Each is there while a call has it.
_turns: WeakValueDictionary[int, _Turn] = WeakValueDictionary()
_at_the_turns = Lock()


def _turn_of(file: object) -> _Turn:
    with _at_the_turns:
        return _turns.setdefault(id(file), _Turn(file))


def _check_mode(file: Any, told: str) -> None:
    if isinstance(file, io.TextIOBase):
        msg = f"{told} gives text: open the file in mode 'rb'"
        raise InvalidDocumentError(msg)
    if iscoroutinefunction(file.read):
        msg = f"the read() of {told} is async: pass the file below it, or the bytes it reads"
        raise InvalidDocumentError(msg)


def _inner(file: Any) -> Any:
    # What a temporary file of Python's is made of; both attributes are documented.
    if type(file) is tempfile.SpooledTemporaryFile:
        return file._file  # noqa: SLF001
    return file.file if type(file) is tempfile._TemporaryFileWrapper else file  # noqa: SLF001


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    told = last_part(name) if isinstance(name, str) else ""
    # What is between brackets is no name: "<stdin>".
    return "" if told.startswith("<") else told


def _shared(file: Any, told: str, name: str, keeping: SharedDescriptor) -> Source | None:
    if type(file) is io.BytesIO:
        # No copy, and no hold on the object: it is what copies if it is written to.
        rest = memoryview(file.getvalue())[file.tell() :]
        return bytes_source(rest, name) if rest else None
    if not (is_plain(file) and file.readable()):
        return None
    state = os.fstat(file.fileno())
    if stat.S_ISCHR(state.st_mode) and file.seekable():
        # A terminal ends, and /dev/zero does not.
        msg = f"{told} is a device, not a file"
        raise InvalidDocumentError(msg)
    # Without `pread` to read from a descriptor that shares it is to move about in the caller's file.
    if not stat.S_ISREG(state.st_mode) or not hasattr(os, "pread"):
        return None
    file.flush()
    start = file.tell()
    # Files of /proc tell no size.
    is_told = os.fstat(file.fileno()).st_size > start
    return open_file_source(told, lambda: os.dup(file.fileno()), keeping, name, start) if is_told else None


def _read_through(file: Any, told: str, name: str, keeping: SharedDescriptor) -> Source | None:
    start = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    try:
        return copy_file(file, told, name, keeping)
    finally:
        if start is not None:
            # That it cannot is for whoever reads it next.
            with suppress(Exception):
                file.seek(start)


# On Windows a descriptor gives text unless it is told otherwise.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_LONGEST_SHOWN = 200
# No system takes a path of more letters.
_LONGEST = 4096


def open_path(given: str | os.PathLike[str], keeping: SharedDescriptor) -> Source:
    """Return the source that reads a file; `InvalidDocumentError` for what is no file, or empty, or kept from us."""
    shown = os.fspath(given)
    told = f"{shown!r:.{_LONGEST_SHOWN}}"
    try:
        # Where the process moves to meanwhile makes no difference.
        path = Path(os.fsdecode(given)).absolute()
        source = _source(path, told, keeping)
    except InvalidDocumentError:
        raise
    except (OSError, ValueError) as error:
        msg = f"{told} cannot be read: {getattr(error, 'strerror', None) or error}"
        if len(shown) > _LONGEST:
            msg += "; a str is taken for a path: give the document itself as bytes, or as a data: URL"
        raise InvalidDocumentError(msg) from error
    if source is None:
        msg = f"{told} is empty"
        raise InvalidDocumentError(msg)
    return source


def _source(path: Path, told: str, keeping: SharedDescriptor) -> Source | None:
    # Before it is opened: to open a pipe is to wait for whoever writes to it.
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        msg = f"{told} is a {'directory' if stat.S_ISDIR(state.st_mode) else 'device or pipe'}, not a file"
        raise InvalidDocumentError(msg)
    name = last_part(path.name)
    if state.st_size:
        return open_file_source(told, partial(os.open, path, _READING), keeping, name)
    # Files of /proc tell no size.
    with path.open("rb", buffering=0) as file:
        return copy_file(file, told, name, keeping)
