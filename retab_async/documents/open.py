"""Opens documents: turns whatever the caller may give as a document into the source of its bytes."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any

import attrs

from retab_async.documents.files import open_async_file_object, open_file_object, open_path
from retab_async.documents.sources import BytesSource, SharedDescriptor, Source, bytes_source, clean_filename
from retab_async.documents.urls import decode_data_url, is_data_url
from retab_async.errors import InvalidDocumentError
from retab_async.models import FileRef, MIMEData
from retab_async.thread_pool import FILE_POOL, USER_FILE_POOL
from retab_async.validation import is_pydantic


def split_filename(document: object, filename: str | None = None) -> tuple[object, str]:
    """Return the content of a document and the filename to send, "" for the content's own.

    A pydantic model with the fields of `MIMEData` or `FileRef`, as the official client has, becomes one of ours.

    Raises:
        InvalidDocumentError: The filename is blank or no text, or the tuple is no pair.
    """
    content, filename = _split(document, filename)
    return _from_pydantic(content) if is_pydantic(content) else content, filename


def _from_pydantic(model: Any) -> object:
    fields = model.model_dump()
    for cls, required in ((MIMEData, "url"), (FileRef, "id")):
        if required in fields:
            return cls(**{name: fields[name] for name in attrs.fields_dict(cls) if name in fields})
    return model


def _split(document: object, filename: str | None) -> tuple[object, str]:
    if isinstance(document, tuple):
        if len(document) != 2 or isinstance(document[1], tuple) or filename is not None:
            msg = 'a tuple is a document as ("name.pdf", content), without a further filename'
            raise InvalidDocumentError(msg)
        filename, document = document
    elif filename is None:
        return document, ""
    if not isinstance(filename, str) or not clean_filename(filename):
        msg = "the filename of a document must be a text that is not blank"
        raise InvalidDocumentError(msg)
    return document, filename


@asynccontextmanager
async def open_document(
    content: object, filename: str = "", *, max_seconds: float | None = None
) -> AsyncIterator[Source]:
    """Open a document whose bytes are to be sent; the source is valid until the block exits.

    Until then it needs neither the path nor the file object that was given. A file on disk costs one open descriptor.

    Args:
        content: What the caller gave.
        filename: The filename to send; empty for the content's own.
        max_seconds: Time within which a path must be opened: a dead file system never answers. The caller's own file
            objects may take longer; None for no limit.

    Raises:
        InvalidDocumentError: The document cannot be read, is empty, or is of no supported type.
    """
    descriptor = SharedDescriptor()
    try:
        match content:
            case bytes() | bytearray() | memoryview():
                source: Source = bytes_source(content, filename)
            case MIMEData(filename=own_filename, url=url):
                source = await _decode(url, filename or own_filename)
            case str() if is_data_url(content):
                source = await _decode(content, filename)
            case str() | os.PathLike():
                opening = FILE_POOL.call(open_path, content, filename, descriptor)
                source = await _within(max_seconds, opening, content)
            case _ if iscoroutinefunction(getattr(content, "read", None)):
                source = await open_async_file_object(content, filename, descriptor)
            case _ if callable(getattr(content, "read", None)):
                source = await USER_FILE_POOL.call(open_file_object, content, filename, descriptor)
            case _:
                msg = (
                    f"a {type(content).__name__} is no document: give a path, bytes, a binary file object, "
                    "an https:// or data: URL, a MIMEData, or the FileRef of a run"
                )
                raise InvalidDocumentError(msg)
        yield source
    finally:
        descriptor.release()


async def _within(max_seconds: float | None, opening: Awaitable[Source], document: object) -> Source:
    try:
        async with asyncio.timeout(max_seconds):
            return await opening
    except TimeoutError as error:
        msg = f"{document!r:.200} cannot be read: its file system did not answer within {max_seconds:g} s"
        raise InvalidDocumentError(msg) from error


async def _decode(url: str, filename: str) -> BytesSource:
    media_type, content = await FILE_POOL.call(decode_data_url, url)
    return bytes_source(content, filename, media_type)
