"""Uploads: sends documents that are too large for the body of a create, and looks up files that the API has."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import orjson

from retab_async.documents.body import FileBody
from retab_async.documents.open import open_document, split_filename
from retab_async.documents.progress import ProgressBody, UploadCallback
from retab_async.documents.sources import DocumentInfo, Source, clean_filename
from retab_async.documents.storage import send_to_storage
from retab_async.documents.urls import is_https, is_storage_url, remote_document
from retab_async.errors import InvalidDocumentError, InvalidRunIdError
from retab_async.models import FileRef, MIMEData, UploadedFile
from retab_async.protocol import MIB, Body, BytesBody, Request, Response, parse_json, response_error, run_path

if TYPE_CHECKING:
    from retab_async.transport import Transport

_FILES = "/v1/files"
_UPLOADS = "/v1/files/upload"
# Bytes a second that even a slow connection sends.
_MIN_BYTES_PER_SECOND = 256 * 1024
# The client frames its requests itself.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# From the ? of a URL, escaped or not, to its end within JSON.
_QUERY = re.compile(r'(\?|\\u003f)[^\s"]*', re.IGNORECASE)


def transfer_seconds(length: int) -> float:
    """Return how many seconds sending this many bytes may take."""
    return length / _MIN_BYTES_PER_SECOND


def redact_queries(response: Response) -> Response:
    """Return a response that is quoted without the queries of URLs: such a signature gives access to the file."""
    redact = response.redact
    return attrs.evolve(response, redact=lambda text: _QUERY.sub("?***", redact(text)))


async def resolve_file_ref(transport: "Transport", file: FileRef) -> MIMEData:
    """Return the filename and URL by which a file that the API has becomes the document of another run.

    Raises:
        InvalidDocumentError: The id could lead to another route.
        ResponseError: The answer holds no https:// URL.

    `GET /v1/files/{id}/download-link`
    """
    response = redact_queries(await transport.send(Request("GET", _link_path(file.id))))
    value = parse_json(response)
    fields = value if isinstance(value, dict) else {}
    mime_data = fields.get("mime_data")
    url = (mime_data.get("url") if isinstance(mime_data, dict) else None) or fields.get("download_url")
    if not is_https(url):
        raise response_error(response, "the answer holds no https:// URL of the file", "mime_data.url")
    names = (file.filename, fields.get("filename"), file.id)
    filename = next(filter(None, (clean_filename(name) for name in names if isinstance(name, str))))
    return MIMEData(filename=filename, url=url)


def _link_path(file_id: object) -> str:
    try:
        return run_path(_FILES, file_id, "/download-link")
    except InvalidRunIdError as error:
        msg = f"the id of this FileRef is no file's: {file_id!r:.200}; give the `file` of a run"
        raise InvalidDocumentError(msg) from error


async def upload_document(
    transport: "Transport", document: object, filename: str | None = None, on_upload: UploadCallback | None = None
) -> UploadedFile:
    """Upload a document whose bytes are to be sent.

    Args:
        transport: Sends the requests.
        document: What the caller gave.
        filename: The filename to send; None for the document's own.
        on_upload: Called while the document is sent.

    Raises:
        InvalidDocumentError: The document cannot be read, or the API can fetch it itself.
        RequestError: As for `upload_source`.
    """
    content, filename = split_filename(document, filename)
    if isinstance(content, FileRef) or remote_document(content) is not None:
        msg = "the API can fetch this document itself: give it to a create as it is"
        raise InvalidDocumentError(msg)
    async with open_document(content, filename, max_seconds=transport.policy.deadline) as source:
        return await upload_source(transport, source, on_upload)


async def upload_source(
    transport: "Transport", source: Source, on_upload: UploadCallback | None = None
) -> UploadedFile:
    """Send a document where the API says, and return the filename and URL by which it is then a run's document.

    Raises:
        InvalidDocumentError: The document changed while it was being sent.
        ResponseError: An answer does not say where to send the document, or what it became.
        RequestError: One of the three steps failed.

    `POST /v1/files/upload`, a `PUT` to the address in the answer, `POST /v1/files/upload/{id}/complete`
    """
    session = await _begin_upload(transport, source.info)
    request = await _put_request(session, source)
    if on_upload is not None and request.body is not None:
        request = attrs.evolve(request, body=ProgressBody(request.body, on_upload, source.info.filename))
    await send_to_storage(transport, request)
    request = Request("POST", run_path(_UPLOADS, session.file_id, "/complete"), body=BytesBody(b"{}"))
    document = _parse_mime_data(redact_queries(await transport.send(request)))
    return UploadedFile(id=session.file_id, filename=document.filename, url=document.url)


def _parse_mime_data(response: Response) -> MIMEData:
    value = parse_json(response)
    fields = value if isinstance(value, dict) else {}
    filename, url = fields.get("filename"), fields.get("url")
    name = clean_filename(filename) if isinstance(filename, str) else ""
    if not name:
        raise response_error(response, "filename: expected a text", "filename")
    if not is_https(url):
        raise response_error(response, "url: expected an https:// URL", "url")
    return MIMEData(filename=name, url=url)


class _UploadSession(NamedTuple):
    file_id: str
    url: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        # The URL and the headers give write access.
        return f"_UploadSession({self.file_id})"


async def _begin_upload(transport: "Transport", info: DocumentInfo) -> _UploadSession:
    payload = {"filename": info.filename, "size_bytes": info.size, "content_type": info.media_type}
    request = Request("POST", _UPLOADS, body=BytesBody(orjson.dumps(payload)))
    response = redact_queries(await transport.send(request))
    value = parse_json(response)
    if not isinstance(value, dict):
        raise response_error(response, "the answer is not an object")
    for field, reason in _invalid_fields(value, transport.base_url):
        raise response_error(response, f"{field}: {reason}", field)
    return _UploadSession(value["fileId"], value["uploadUrl"], value.get("uploadHeaders") or {})


def _invalid_fields(session: dict[str, Any], base_url: str) -> Iterator[tuple[str, str]]:
    file_id = session.get("fileId")
    try:
        # Only of a text: the error quotes the id, and a deeply nested one has no repr.
        run_path(_UPLOADS, file_id if isinstance(file_id, str) else "")
    except InvalidRunIdError:
        yield "fileId", "expected an id"
    if not is_storage_url(session.get("uploadUrl"), base_url):
        yield "uploadUrl", "expected an https:// URL"
    if session.get("uploadMethod", "PUT") != "PUT":
        yield "uploadMethod", "expected PUT"
    if not _are_headers(session.get("uploadHeaders") or {}):
        yield "uploadHeaders", "expected an object of texts"


def _are_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _HEADER_NAME.fullmatch(name) and isinstance(text, str) and text.isprintable() for name, text in value.items()
    )


async def _put_request(session: _UploadSession, source: Source) -> Request:
    headers = {name.title(): value for name, value in session.headers.items() if name.lower() not in _OWN_HEADERS}
    headers.setdefault("Content-Type", source.info.media_type)
    body: Body = FileBody(source, headers["Content-Type"])
    if body.length <= MIB:
        body = BytesBody(await source.read(0, body.length, bytes), body.media_type)
    return Request(
        "PUT",
        "",
        body=body,
        extra_seconds=transfer_seconds(source.info.size),
        external_url=session.url,
        headers=tuple(headers.items()),
    )
