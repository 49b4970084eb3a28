"""What a caller may give as a document, and where its bytes are then."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

from retab_async.documents.addresses import decode, is_data
from retab_async.documents.sources import Memory, Source, in_memory, on_disk
from retab_async.documents.streams import BinaryFile, streamed
from retab_async.errors import InvalidDocumentError
from retab_async.models import FileRef, MIMEData

Document: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | MIMEData | FileRef


@asynccontextmanager
async def opened(document: object) -> AsyncIterator[Source]:
    """Give the source of a document whose bytes are to be sent; `InvalidDocumentError` where there is none."""
    match document:
        case bytes() | bytearray() | memoryview():
            yield in_memory(document)
        case MIMEData(filename=filename, url=url):
            yield await _decoded(url, filename)
        case str() if is_data(document):
            yield await _decoded(document)
        case str() | os.PathLike():
            yield await on_disk(document)
        case _ if callable(getattr(document, "read", None)):
            async with streamed(document) as stream:
                yield stream
        case _:
            msg = (
                f"a {type(document).__name__} is no document: give a path, bytes, a binary file object, "
                "an https:// or data: URL, a MIMEData, or the FileRef of a run"
            )
            raise InvalidDocumentError(msg)


async def _decoded(url: str, filename: str = "") -> Memory:
    media_type, content = await asyncio.to_thread(decode, url)
    return in_memory(content, filename, media_type)
