"""Identity of documents: by what one is recognised when a job that was killed is started again."""

import asyncio
import io
import os
import re
import stat
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from retab_async.documents.open import split_filename
from retab_async.documents.sources import basename, clean_filename
from retab_async.documents.urls import is_data_url
from retab_async.errors import InvalidDocumentError
from retab_async.models import FileRef, MIMEData
from retab_async.thread_pool import FILE_POOL, USER_FILE_POOL

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_MAX_NAME = 500
# A longer content is hashed in a thread.
_INLINE_BYTES = 64 * 1024


class DocumentIdentity(NamedTuple):
    """What a document is recognised by.

    Attributes:
        name: Its name for people: never content, nor the query of a URL.
        digest: The same for the same document; random for a stream without a name, which is never recognised.
        revision: Size and time of modification of a file on disk, which change with its content; else empty.
    """

    name: str
    digest: str
    revision: str = ""


async def identify_document(document: object, filename: str | None = None, *, max_seconds: float) -> DocumentIdentity:
    """Return the identity of a document: its content in memory, its path and state on disk, its URL, or its file id.

    Another document with the same name, such as `("a.pdf", content)`, has another identity. Only a stream that is
    neither in memory nor a file on disk is recognised by its name alone.

    Args:
        document: What the caller gave.
        filename: The filename to send, if the caller gave one.
        max_seconds: Seconds within which a file system must respond.

    Raises:
        InvalidDocumentError: A tuple is not a filename and a document, or the file system did not respond.
    """
    content, filename = split_filename(document, filename)
    try:
        async with asyncio.timeout(max_seconds):
            identity = await _identify(content, filename)
    except TimeoutError as error:
        shown = f"{content!r:.200}" if isinstance(content, str | os.PathLike) else f"this {type(content).__name__}"
        msg = f"{shown} cannot be read: its file system did not answer within {max_seconds:g} s"
        raise InvalidDocumentError(msg) from error
    if not filename:
        return identity
    # The filename is sent, so it is a part of the request.
    return identity._replace(name=filename[:_MAX_NAME], digest=_digest_text(f"{filename}\0{identity.digest}"))


async def _identify(content: Any, filename: str) -> DocumentIdentity:
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content)
        digest = _digest(view) if view.nbytes <= _INLINE_BYTES else await FILE_POOL.call(_digest, view)
        return DocumentIdentity(_name_of_content(digest), digest)
    if isinstance(content, str | FileRef | MIMEData) and not _is_path(content):
        return _identify_reference(content)
    if isinstance(content, str | os.PathLike):
        return await FILE_POOL.call(_identify_path, content)
    return await USER_FILE_POOL.call(_identify_file_object, content, filename)


def _is_path(content: object) -> bool:
    return isinstance(content, str) and not (is_data_url(content) or _URL.match(content))


def _identify_reference(content: str | FileRef | MIMEData) -> DocumentIdentity:
    if isinstance(content, FileRef):
        return DocumentIdentity(content.filename or str(content.id), _digest_text(f"file {content.id}"))
    if isinstance(content, MIMEData):
        return DocumentIdentity(str(content.filename)[:_MAX_NAME], _digest_text(str(content.url)))
    digest = _digest_text(content)
    return DocumentIdentity(_name_of_content(digest) if is_data_url(content) else _name_of_url(content), digest)


def _name_of_content(digest: str) -> str:
    return f"document {digest[:12]}"


def _name_of_url(url: str) -> str:
    # Without the password and the query: a signature gives access to the file.
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:_MAX_NAME]


def _identify_path(path: str | os.PathLike[str]) -> DocumentIdentity:
    name = os.fsdecode(path)
    revision = ""
    # What is wrong with a path is the error of its create.
    with suppress(OSError, ValueError):
        revision = _revision(os.stat(path))  # noqa: PTH116 - os.PathLike has no stat
    return DocumentIdentity(clean_filename(name)[:_MAX_NAME], _digest_text(f"path {os.path.abspath(name)}"), revision)  # noqa: PTH100 - resolves no link


def _identify_file_object(file: Any, filename: str) -> DocumentIdentity:
    name = filename or _name_of(file)
    if type(file) is io.BytesIO:
        digest = _digest(memoryview(file.getvalue())[file.tell() :])
        return DocumentIdentity(name or _name_of_content(digest), digest)
    with suppress(OSError, ValueError, AttributeError, TypeError):
        state = os.fstat(file.fileno())
        if stat.S_ISREG(state.st_mode):
            digest = _digest_text(f"file {name} {state.st_dev} {state.st_ino} {file.tell()}")
            return DocumentIdentity(name or _name_of_content(digest), digest, _revision(state))
    return DocumentIdentity(name or "document", _digest_text(f"stream {name or uuid4()}"))


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return clean_filename(basename(name))[:_MAX_NAME] if isinstance(name, str) else ""


def _revision(state: os.stat_result) -> str:
    return f"{state.st_size} {state.st_mtime_ns}"


def _digest(content: memoryview) -> str:
    return blake2b(content if content.c_contiguous else content.tobytes(), digest_size=16).hexdigest()


def _digest_text(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
