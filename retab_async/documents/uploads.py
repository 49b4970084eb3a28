"""Documents that are too large for the body of a create, sent by themselves before it."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import attrs
import orjson

from retab_async.documents.addresses import passed_on
from retab_async.documents.bodies import RawBody
from retab_async.documents.links import read_mime_data, split, unsigned
from retab_async.documents.opening import opened
from retab_async.documents.sources import Label, Source
from retab_async.errors import APIError, CallError, InvalidDocumentError, InvalidRunIdError
from retab_async.models import FileRef, UploadedFile
from retab_async.protocol import BytesBody, Request, read_response, response_error, run_path
from retab_async.transport import Transport

_UPLOADS = "/v1/files/upload"
# Bytes a second that even a slow line has.
_SLOWEST = 256 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# How a request is framed is not the API's to say.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Shorter values of a URL's query are no signatures, and would be found inside words.
_SHORTEST_SECRET = 8


def sending_time(length: int) -> float:
    """Return how many seconds the sending of so many bytes may take."""
    return length / _SLOWEST


async def store(transport: Transport, document: object) -> UploadedFile:
    """Upload what has bytes to be sent.

    Raises `InvalidDocumentError` for what cannot be read, or is where the API can have it already, and what `upload`
    raises.
    """
    if isinstance(document, FileRef) or passed_on(document) is not None:
        msg = "this document is where the API can have it: give it to a create as it is"
        raise InvalidDocumentError(msg)
    async with opened(document) as source:
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
    told = read_mime_data(unsigned(await transport.send(request, transport.ends())))
    return UploadedFile(id=session.file_id, filename=told.filename, url=told.url)


class _Session(NamedTuple):
    file_id: str
    url: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        # Who has the address, or its headers, may write to it.
        return f"_Session({self.file_id})"


async def _announce(transport: Transport, label: Label) -> _Session:
    told = {"filename": label.filename, "size_bytes": label.size, "content_type": label.media_type}
    request = Request("POST", _UPLOADS, body=BytesBody(orjson.dumps(told)))
    response = unsigned(await transport.send(request, transport.ends()))
    value = read_response(response)
    if not isinstance(value, dict):
        raise response_error(response, "the answer is no object")
    for place, reason in _misfits(value, transport.address):
        raise response_error(response, f"{place}: {reason}", place)
    return _Session(value["fileId"], value["uploadUrl"], value.get("uploadHeaders") or {})


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


def _sending(session: _Session, source: Source) -> Request:
    headers = {name.title(): value for name, value in session.headers.items() if name.lower() not in _OWN_HEADERS}
    headers.setdefault("Content-Type", source.label.media_type)
    return Request(
        "PUT",
        urlunsplit(urlsplit(session.url)._replace(query="", fragment="")),
        body=RawBody(source, headers["Content-Type"]),
        extra=sending_time(source.label.size),
        elsewhere=session.url,
        headers=tuple(headers.items()),
    )


async def _put(transport: Transport, session: _Session, source: Source) -> None:
    request = _sending(session, source)
    try:
        await transport.send(request, transport.ends(request.extra))
    except CallError as error:
        failure = _without_signature(error, session.url)
    else:
        return
    # Without what is behind it: aiohttp quotes whole URLs.
    raise failure


def _without_signature(error: CallError, url: str) -> CallError:
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
