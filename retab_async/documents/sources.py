"""What the bytes of a document are had from, piece by piece, and what is told of them; those in memory."""

import asyncio
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from retab_async.documents.media_types import extension_of, type_by_name
from retab_async.documents.signatures import HEAD, type_by_content
from retab_async.errors import InvalidDocumentError

# Bytes of a document that are read and encoded at once: few enough to keep memory and the time for which a thread holds
# the interpreter small, enough for the way to a thread not to count, and a multiple of 3, which base64 joins up at.
PIECE = 3 * 128 * 1024

# The categories of control characters and of what ends lines.
_UNPRINTED = frozenset({"Cc", "Zl", "Zp"})

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
    """Return a name of one line as it can be written in JSON, where no other than UTF-8 can; "" for a blank one."""
    if not filename.isprintable():
        filename = "".join(each for each in filename if unicodedata.category(each) not in _UNPRINTED)
    return filename.encode(errors="replace").decode() if filename.strip() else ""


def last_part(place: str) -> str:
    """Return the name at the end of a path, of whatever system: where a file is kept is not told to anybody."""
    return re.split(r"[/\\]", place)[-1]


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
