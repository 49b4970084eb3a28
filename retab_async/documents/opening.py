"""What a caller may give as a document, and where its bytes are then."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from retab_async.documents.addresses import decode, is_data
from retab_async.documents.keeping import Keeping
from retab_async.documents.paths import look_at
from retab_async.documents.sources import Memory, Source, in_memory
from retab_async.documents.streams import BinaryFile, taken_over
from retab_async.documents.threads import FILES, STRANGERS, Crew
from retab_async.errors import InvalidDocumentError
from retab_async.models import FileRef, MIMEData

Document: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | MIMEData | FileRef


@asynccontextmanager
async def opened(document: object) -> AsyncIterator[Source]:
    """Give the source of a document whose bytes are to be sent; `InvalidDocumentError` where there is none.

    Once it is given, the bytes are there until this is left, whatever becomes of a path or a file object.
    """
    match document:
        case bytes() | bytearray() | memoryview():
            yield in_memory(document)
        case MIMEData(filename=filename, url=url):
            yield await _decoded(url, filename)
        case str() if is_data(document):
            yield await _decoded(document)
        case str() | os.PathLike():
            async with _kept(FILES, look_at, document) as source:
                yield source
        case _ if callable(getattr(document, "read", None)):
            async with _kept(STRANGERS, taken_over, document) as source:
                yield source
        case _:
            msg = (
                f"a {type(document).__name__} is no document: give a path, bytes, a binary file object, "
                "an https:// or data: URL, a MIMEData, or the FileRef of a run"
            )
            raise InvalidDocumentError(msg)


@asynccontextmanager
async def _kept(crew: Crew, find: Callable[[Any, Keeping], Source], document: object) -> AsyncIterator[Source]:
    keeping = Keeping()
    try:
        yield await crew.call(find, document, keeping)
    finally:
        keeping.leave()


async def _decoded(url: str, filename: str = "") -> Memory:
    media_type, content = await FILES.call(decode, url)
    return in_memory(content, filename, media_type)
