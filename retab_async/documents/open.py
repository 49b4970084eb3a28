"""Opens documents: turns whatever the caller may give as a document into the source of its bytes."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from retab_async.documents.files import BinaryFile, open_file_object, open_path
from retab_async.documents.sources import BytesSource, SharedDescriptor, Source, bytes_source
from retab_async.documents.thread_pool import FILE_POOL, USER_FILE_POOL, DaemonThreadPool
from retab_async.documents.urls import decode_data_url, is_data_url
from retab_async.errors import InvalidDocumentError
from retab_async.models import FileRef, MIMEData

Document: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | MIMEData | FileRef


@asynccontextmanager
async def open_document(document: object) -> AsyncIterator[Source]:
    """Open a document whose bytes are to be sent; the source is valid until the block exits.

    Until then it needs neither the path nor the file object that was given. A file on disk costs one open descriptor.

    Raises:
        InvalidDocumentError: The document cannot be read, is empty, or is of no supported type.
    """
    match document:
        case bytes() | bytearray() | memoryview():
            yield bytes_source(document)
        case MIMEData(filename=filename, url=url):
            yield await _decode(url, filename)
        case str() if is_data_url(document):
            yield await _decode(document)
        case str() | os.PathLike():
            async with _opened(FILE_POOL, open_path, document) as source:
                yield source
        case _ if callable(getattr(document, "read", None)):
            async with _opened(USER_FILE_POOL, open_file_object, document) as source:
                yield source
        case _:
            msg = (
                f"a {type(document).__name__} is no document: give a path, bytes, a binary file object, "
                "an https:// or data: URL, a MIMEData, or the FileRef of a run"
            )
            raise InvalidDocumentError(msg)


@asynccontextmanager
async def _opened(
    pool: DaemonThreadPool, open_: Callable[[Any, SharedDescriptor], Source], document: object
) -> AsyncIterator[Source]:
    descriptor = SharedDescriptor()
    try:
        yield await pool.call(open_, document, descriptor)
    finally:
        descriptor.release()


async def _decode(url: str, filename: str = "") -> BytesSource:
    media_type, content = await FILE_POOL.call(decode_data_url, url)
    return bytes_source(content, filename, media_type)
