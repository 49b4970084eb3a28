"""Where the bytes of a document are, and how they are had piece by piece: in memory, or in a file named by its path."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, Protocol, TypeAlias

import attrs

from retab_async.documents.media_types import extension_of, type_by_name
from retab_async.documents.signatures import HEAD, type_by_content
from retab_async.errors import InvalidDocumentError

# Bytes of a document that are read and encoded at once: few enough to keep memory and the time for which a thread holds
# the interpreter small, enough for the way to a thread not to count, and a multiple of 3, which base64 joins up at.
PIECE = 3 * 128 * 1024

# In what form a piece is wanted: as it is (`bytes`), or encoded. It is given it where the piece is read, which for
# files is a thread.
Form: TypeAlias = Callable[[bytes | memoryview], bytes]


class Label(NamedTuple):
    """What is told of a document beside its bytes."""

    filename: str
    media_type: str
    size: int

    @classmethod
    def of(cls, filename: str, size: int, head: Callable[[], bytes], *, declared: str = "") -> "Label":
        """Return the label of what has this name, which may be empty; `head` reads its start, where that is needed."""
        filename = written(filename)
        media_type = declared or type_by_name(filename) or type_by_content(head())
        return cls(filename or f"document{extension_of(media_type)}", media_type, size)


class Source(Protocol):
    """The bytes of a document, to be had as often as need be."""

    @property
    def label(self) -> Label:
        """What is told of them."""

    async def read(self, start: int, count: int, form: Form) -> bytes:
        """Return so many bytes in a form, or what there is up to the end; `InvalidDocumentError` where they changed."""


def written(filename: str) -> str:
    """Return a name as it can be written in JSON, where names that are no UTF-8 cannot; "" for a blank one."""
    return filename.encode(errors="replace").decode() if filename.strip() else ""


@attrs.frozen(eq=False)
class Memory:
    """A document in memory."""

    view: memoryview = attrs.field(repr=False)
    label: Label

    async def read(self, start: int, count: int, form: Form) -> bytes:
        """Return so many bytes in a form."""
        # A socket that takes whatever it is given would have the loop encode a whole document in one go.
        await asyncio.sleep(0)
        return form(self.view[start : start + count])


def in_memory(content: bytes | bytearray | memoryview, filename: str = "", media_type: str = "") -> Memory:
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
    return Memory(view, Label.of(filename, view.nbytes, lambda: bytes(view[:HEAD]), declared=media_type))


@attrs.frozen(eq=False)
class Disk:
    """A document in a file, which is open only while a piece is read."""

    path: Path
    mark: tuple[int, ...]
    label: Label

    async def read(self, start: int, count: int, form: Form) -> bytes:
        """Return so many bytes in a form; `InvalidDocumentError` where the file is not the one it was."""
        return await asyncio.to_thread(self._read, start, min(count, self.label.size - start), form)

    def _read(self, start: int, count: int, form: Form) -> bytes:
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(start)
                piece = _read_fully(file, count)
                mark = _mark(os.fstat(file.fileno()))
        except OSError as error:
            msg = f"{str(self.path)!r} cannot be read any more: {error.strerror or error}"
            raise InvalidDocumentError(msg) from error
        if mark != self.mark or len(piece) != count:
            msg = f"{str(self.path)!r} changed while it was being sent"
            raise InvalidDocumentError(msg)
        return form(piece)


async def on_disk(path: str | os.PathLike[str]) -> Disk:
    """Return the source that reads a file; `InvalidDocumentError` for what is no file, or empty, or kept from us."""
    return await asyncio.to_thread(_look_at, path)


def _look_at(given: str | os.PathLike[str]) -> Disk:
    shown = os.fspath(given)
    try:
        # Later pieces are read from the same file, wherever the process has moved by then.
        path = Path(os.fsdecode(given)).absolute()
        # Before it is opened: to open a pipe is to wait for whoever writes to it.
        _check_kind(path.stat().st_mode, shown)
        with path.open("rb", buffering=0) as file:
            state = os.fstat(file.fileno())
            label = Label.of(path.name, state.st_size, lambda: _read_fully(file, HEAD))
    except InvalidDocumentError:
        raise
    except (OSError, ValueError) as error:
        msg = f"{shown!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidDocumentError(msg) from error
    if not label.size:
        msg = f"{shown!r} is empty"
        raise InvalidDocumentError(msg)
    return Disk(path, _mark(state), label)


def _check_kind(mode: int, shown: object) -> None:
    if not stat.S_ISREG(mode):
        msg = f"{shown!r} is a {'directory' if stat.S_ISDIR(mode) else 'device or pipe'}, not a file"
        raise InvalidDocumentError(msg)


def _mark(state: os.stat_result) -> tuple[int, ...]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _read_fully(file: IO[bytes], count: int) -> bytes:
    pieces = []
    while count > 0 and (piece := file.read(count)):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
