"""The three steps of an upload: announce it, send the bytes to a target outside the API, complete it."""

import hashlib

from aiohttp import web

from retab_async.emulator.answers import HTTPError, Response
from retab_async.emulator.routing import Route
from retab_async.emulator.service import Service
from retab_async.emulator.uploads import Sent, Upload
from retab_async.emulator.validation import Field, filled_text, read_asked, read_json, sha256_hex, whole_number

SIGNATURE = "X-Sig"
CREDENTIALS = ("Api-Key", "Authorization")
MAX_SIZE = 5 * 1024**4
DIGEST = Field("sha256", sha256_hex, default="")
ANNOUNCED = (
    Field("filename", filled_text, required=True),
    Field("size_bytes", whole_number(0, MAX_SIZE), required=True),
    Field("content_type", filled_text),
    DIGEST,
)


async def announce(service: Service, _: str, request: web.BaseRequest) -> Response:
    """Open an upload, and show where its bytes go."""
    upload = Upload.of(read_asked(ANNOUNCED, await read_json(request)), service.calendar)
    service.uploads.add(upload)
    target = request.url.origin() / "upload" / upload.announced.id % {SIGNATURE: upload.signature}
    return Response.json(200, upload.view(str(target), service.calendar))


async def send(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Take the bytes, in the place of any sent before."""
    # The target is not the API's own: who sends it a key has let the key out.
    if any(name in request.headers for name in CREDENTIALS):
        raise HTTPError(400, "This address takes a signature, and no credentials.")
    upload = service.uploads.signed(file_id, request.query.get(SIGNATURE, ""))
    expected = upload.announced.mime_type
    if request.headers.get("Content-Type") != expected:
        raise HTTPError(400, f"The Content-Type has to be {expected}.")
    upload.sent = await _measured(request)
    return Response(200, headers={})


async def _measured(request: web.BaseRequest) -> Sent:
    size, digest = 0, hashlib.sha256()
    async for chunk in request.content.iter_any():
        size += len(chunk)
        digest.update(chunk)
    return Sent(size, digest.hexdigest())


async def complete(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Make the file of what was sent, and show it as a document; a repeat shows it again."""
    asked = read_asked((DIGEST,), await read_json(request))
    file = service.uploads.find(file_id).complete(asked["sha256"], service.calendar.now())
    service.files.add(file)
    return Response.json(200, file.mime_data())


ROUTES = (
    Route("POST", "/v1/files/upload", announce),
    Route("PUT", "/upload/{id}", send, guarded=False),
    Route("POST", "/v1/files/upload/{id}/complete", complete),
)
