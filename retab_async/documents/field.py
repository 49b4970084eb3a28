"""Documents as callers give them: their types, and a document among the fields of a request."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import attrs

from retab_async.models import FileRef, MIMEData, UploadedFile


class BinaryFile(Protocol):
    """A binary file object: an open file, a pipe, a `BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""


class AsyncBinaryFile(Protocol):
    """A binary file object whose `read` is a coroutine function, as those of aiofiles, anyio and Starlette."""

    async def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""


class PydanticFields(Protocol):
    """A pydantic model in the place of a model of this library with the same fields, as the official client has."""

    def model_dump(self) -> dict[str, Any]:
        """Return its fields."""


Content: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryFile
    | AsyncBinaryFile
    | MIMEData
    | FileRef
    | PydanticFields
)
# With the filename to send in front, or without.
Document: TypeAlias = Content | tuple[str, Content]


@attrs.frozen(eq=False)
class DocumentField:
    """A document among the fields of a request, anywhere in its JSON.

    Attributes:
        document: What the caller gave.
        filename: The filename to send; None for its own.
        on_uploaded: Awaited once the document was uploaded, before the request is sent.
    """

    document: Document
    filename: str | None = None
    on_uploaded: Callable[[UploadedFile], Awaitable[None]] | None = None
