"""Documents in file objects of the caller's: what they hold is taken over, so that they may be closed meanwhile."""

import io
import os
import stat
import tempfile
from contextlib import suppress
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any, Protocol
from weakref import WeakValueDictionary

from retab_async.documents.copies import copied, is_plain, reading
from retab_async.documents.disk import found
from retab_async.documents.keeping import Keeping
from retab_async.documents.sources import Source, in_memory, last_part
from retab_async.errors import InvalidDocumentError


class BinaryFile(Protocol):
    """What can be read from: an open file, a pipe, a `BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, and none at the end."""


def taken_over(file: Any, keeping: Keeping) -> Source:
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


def _shared(file: Any, told: str, name: str, keeping: Keeping) -> Source | None:
    if type(file) is io.BytesIO:
        # No copy, and no hold on the object: it is what copies if it is written to.
        rest = memoryview(file.getvalue())[file.tell() :]
        return in_memory(rest, name) if rest else None
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
    return found(told, lambda: os.dup(file.fileno()), keeping, name, start) if is_told else None


def _read_through(file: Any, told: str, name: str, keeping: Keeping) -> Source | None:
    start = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    try:
        return copied(file, told, name, keeping)
    finally:
        if start is not None:
            # That it cannot is for whoever reads it next.
            with suppress(Exception):
                file.seek(start)
