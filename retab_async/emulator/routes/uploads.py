"""Routes of the three steps of an upload: announce it, send the bytes to the storage, complete it."""

import hashlib

from aiohttp import web

from retab_async.emulator.auth import SIGNATURE, reject_credentials
from retab_async.emulator.connection import own_url
from retab_async.emulator.files import MAX_CONTENT
from retab_async.emulator.responses import HTTPError, Response
from retab_async.emulator.routing import Route
from retab_async.emulator.service import Service
from retab_async.emulator.uploads import Upload, UploadedBody
from retab_async.emulator.validation import Field, bounded_int, non_blank_str, parse_body, read_json, sha256_hex

MAX_SIZE = 5 * 1024**4
DIGEST = Field("sha256", sha256_hex, default="")
UPLOAD_FIELDS = (
    Field("filename", non_blank_str, required=True),
    Field("size_bytes", bounded_int(0, MAX_SIZE), required=True),
    Field("content_type", non_blank_str),
    DIGEST,
)


async def create_upload(service: Service, _: str, request: web.BaseRequest) -> Response:
    """Open an upload session, and return its target."""
    upload = Upload.open(parse_body(UPLOAD_FIELDS, await read_json(request)), service.calendar)
    service.uploads.add(upload)
    target = own_url(request) / "upload" / upload.announced.id % {SIGNATURE: upload.signature}
    return Response.json(200, upload.view(str(target), service.calendar))


async def put_body(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Receive the bytes; a repeated PUT replaces them."""
    # The target is not the API: a client that sends its key there has leaked it.
    reject_credentials(request)
    upload = service.uploads.authorize(file_id, request.query.get(SIGNATURE, ""))
    expected = upload.announced.mime_type
    if request.headers.get("Content-Type") != expected:
        raise HTTPError(400, f"The Content-Type has to be {expected}.")
    upload.body = await _measure(request)
    return Response(200, headers={})


async def _measure(request: web.BaseRequest) -> UploadedBody:
    size, digest, content = 0, hashlib.sha256(), bytearray()
    async for chunk in request.content.iter_any():
        size += len(chunk)
        digest.update(chunk)
        if size <= MAX_CONTENT:
            content += chunk
    return UploadedBody(size, digest.hexdigest(), bytes(content) if size <= MAX_CONTENT else None)


async def complete(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Complete the upload, and return the file as a document; idempotent."""
    fields = parse_body((DIGEST,), await read_json(request))
    upload = service.uploads.find(file_id)
    file = upload.complete(fields["sha256"], service.calendar.now())
    service.files.add(file)
    if upload.body is not None and upload.body.content is not None:
        service.files.contents.add(file.id, upload.body.content)
        upload.body = None
    return Response.json(200, file.mime_data())


ROUTES = (
    Route("POST", "/v1/files/upload", create_upload),
    Route("PUT", "/upload/{id}", put_body, authenticated=False),
    Route("POST", "/v1/files/upload/{id}/complete", complete),
)
