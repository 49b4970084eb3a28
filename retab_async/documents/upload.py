"""Documents that are too large for the body of a create, sent by themselves before it."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

import attrs
import orjson

from retab_async.documents.body import FileBody
from retab_async.documents.open import open_document
from retab_async.documents.sources import DocumentInfo, Source, written
from retab_async.documents.urls import remote_document
from retab_async.errors import APIError, InvalidDocumentError, InvalidRunIdError, RequestError
from retab_async.models import FileRef, MIMEData, UploadedFile
from retab_async.protocol import BytesBody, Request, Response, parse_json, response_error, run_path
from retab_async.transport import Transport

# From the ? of a URL, escaped or not, to its end within JSON.
_QUERY = re.compile(r'(\?|\\u003f)[^\s"]*', re.IGNORECASE)


async def download_link(transport: Transport, file: FileRef) -> MIMEData:
    """Return by which name and URL a file that the API has is the document of another run.

    Raises `InvalidDocumentError` for an id that could lead elsewhere, `ResponseError` for an answer without such a URL.

    `GET /v1/files/{id}/download-link`
    """
    request = Request("GET", _path(file.id))
    response = unsigned(await transport.send(request))
    value = parse_json(response)
    told = value if isinstance(value, dict) else {}
    inner = told.get("mime_data")
    url = (inner.get("url") if isinstance(inner, dict) else None) or told.get("download_url")
    if not is_https(url):
        raise response_error(response, "the answer holds no https:// URL of the file", "mime_data.url")
    names = (file.filename, told.get("filename"), file.id)
    return MIMEData(filename=next(filter(None, (written(name) for name in names if isinstance(name, str)))), url=url)


def _path(file_id: object) -> str:
    try:
        return run_path("/v1/files", file_id, "/download-link")
    except InvalidRunIdError as error:
        msg = f"a FileRef whose id is no file's: {file_id!r:.200}; give the `file` of a run"
        raise InvalidDocumentError(msg) from error


def read_mime_data(response: Response) -> MIMEData:
    """Return the `MIMEData` that an answer is; `ResponseError` for one of another shape."""
    value = parse_json(response)
    told = value if isinstance(value, dict) else {}
    filename, url = told.get("filename"), told.get("url")
    if not isinstance(filename, str) or not filename.strip():
        raise response_error(response, "filename: expected a text", "filename")
    if not is_https(url):
        raise response_error(response, "url: expected an https:// URL", "url")
    return MIMEData(filename=filename, url=url)


def unsigned(response: Response) -> Response:
    """Return a response that is quoted without the queries of URLs: who has such a signature has the file."""
    redact = response.redact
    return response._replace(redact=lambda text: _QUERY.sub("?***", redact(text)))


def is_https(url: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that begins as an https:// URL does."""
    return isinstance(url, str) and url[:8].lower() == "https://"


def split(url: Any) -> SplitResult:
    """Return the parts of a URL; all of them are empty where it has no host, or could not be sent as it is."""
    none = SplitResult("", "", "", "", "")
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url):
        return none
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port that is no number is found out only when it is read
    except ValueError:
        return none
    return parts if parts.hostname and "@" not in parts.netloc else none


_UPLOADS = "/v1/files/upload"
# Bytes a second that even a slow line has.
_SLOWEST = 256 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# How a request is framed is not the API's to say.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Shorter values of a URL's query are no signatures, and would be found inside words.
_SHORTEST_SECRET = 8


def transfer_seconds(length: int) -> float:
    """Return how many seconds the sending of so many bytes may take."""
    return length / _SLOWEST


async def upload_document(transport: Transport, document: object) -> UploadedFile:
    """Upload what has bytes to be sent.

    Raises `InvalidDocumentError` for what cannot be read, or is where the API can have it already, and what `upload`
    raises.
    """
    if isinstance(document, FileRef) or remote_document(document) is not None:
        msg = "this document is where the API can have it: give it to a create as it is"
        raise InvalidDocumentError(msg)
    async with open_document(document) as source:
        return await upload(transport, source)


async def upload(transport: Transport, source: Source) -> UploadedFile:
    """Send a document to where the API says, and return by which name and URL it is then the document of a run.

    Raises `InvalidDocumentError` where it changed under way, `ResponseError` for an answer that does not say where to
    send it or what it became, and the `CallError`s of each step.

    `POST /v1/files/upload`, a `PUT` to the address in the answer, `POST /v1/files/upload/{id}/complete`
    """
    session = await _announce(transport, source.label)
    await _put(transport, session, source)
    request = Request("POST", run_path(_UPLOADS, session.file_id, "/complete"), body=BytesBody(b"{}"))
    told = read_mime_data(unsigned(await transport.send(request)))
    return UploadedFile(id=session.file_id, filename=told.filename, url=told.url)


class _UploadSession(NamedTuple):
    file_id: str
    url: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        # Who has the address, or its headers, may write to it.
        return f"_Session({self.file_id})"


async def _announce(transport: Transport, label: DocumentInfo) -> _UploadSession:
    told = {"filename": label.filename, "size_bytes": label.size, "content_type": label.media_type}
    request = Request("POST", _UPLOADS, body=BytesBody(orjson.dumps(told)))
    response = unsigned(await transport.send(request))
    value = parse_json(response)
    if not isinstance(value, dict):
        raise response_error(response, "the answer is no object")
    for place, reason in _misfits(value, transport.base_url):
        raise response_error(response, f"{place}: {reason}", place)
    return _UploadSession(value["fileId"], value["uploadUrl"], value.get("uploadHeaders") or {})


def _misfits(value: dict[str, Any], address: str) -> Iterator[tuple[str, str]]:
    try:
        run_path(_UPLOADS, value.get("fileId"))
    except InvalidRunIdError:
        yield "fileId", "expected an id"
    if not _is_target(value.get("uploadUrl"), address):
        yield "uploadUrl", "expected an https:// URL"
    if value.get("uploadMethod", "PUT") != "PUT":
        yield "uploadMethod", "expected PUT"
    if not _are_headers(value.get("uploadHeaders") or {}):
        yield "uploadHeaders", "expected an object of texts"


def _is_target(url: Any, address: str) -> bool:
    parts = split(url)
    # An API on this machine is addressed over http, and may be sent documents in the same way; nobody else may.
    local = address.startswith("http://") and parts.hostname in _LOOPBACK | {split(address).hostname}
    return parts.scheme == "https" or (parts.scheme == "http" and local)


def _are_headers(told: Any) -> bool:
    return isinstance(told, dict) and all(
        _HEADER_NAME.fullmatch(name) and isinstance(value, str) and value.isprintable() for name, value in told.items()
    )


def _sending(session: _UploadSession, source: Source) -> Request:
    headers = {name.title(): value for name, value in session.headers.items() if name.lower() not in _OWN_HEADERS}
    headers.setdefault("Content-Type", source.label.media_type)
    return Request(
        "PUT",
        urlunsplit(urlsplit(session.url)._replace(query="", fragment="")),
        body=FileBody(source, headers["Content-Type"]),
        extra_seconds=transfer_seconds(source.label.size),
        external_url=session.url,
        headers=tuple(headers.items()),
    )


async def _put(transport: Transport, session: _UploadSession, source: Source) -> None:
    request = _sending(session, source)
    try:
        await transport.send(request)
    except RequestError as error:
        failure = _without_signature(error, session.url)
    else:
        return
    # Without what is behind it: aiohttp quotes whole URLs.
    raise failure


def _without_signature(error: RequestError, url: str) -> RequestError:
    query = urlsplit(url).query
    values = (value for _, value in parse_qsl(query))
    secrets = {secret for secret in (query, *query.split("&"), *values) if len(secret) >= _SHORTEST_SECRET}

    def redact(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    if not isinstance(error, APIError):
        return attrs.evolve(error, message=redact(error.message))
    details = error.details if redact(told := str(error.details)) == told else None
    return attrs.evolve(error, message=redact(error.message), body=redact(error.body), details=details)
