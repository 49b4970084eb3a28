"""Routes of files: list, get, download link and download."""

import secrets

from aiohttp import web
from yarl import URL

from retab_async.emulator.auth import SIGNATURE, reject_credentials
from retab_async.emulator.connection import own_url
from retab_async.emulator.files import DOWNLOAD_URL, File
from retab_async.emulator.filters import DATES, equals, name_prefix, sort_order
from retab_async.emulator.listing import Filter, ListSpec, parse_query, select_page
from retab_async.emulator.responses import HTTPError, Response
from retab_async.emulator.routing import Route
from retab_async.emulator.service import Service

LIST_SPEC: ListSpec[File] = ListSpec(
    filters=(
        name_prefix("filename", lambda file: file.filename),
        equals("mime_type", lambda file: file.mime_type),
        # Accepted, but no file has embeddings.
        Filter("include_embeddings", lambda _: lambda __, ___: True),
        sort_order("created_at", "updated_at"),
        *DATES,
    ),
    is_visible=File.exists,
    rejects_unknown_cursor=False,
)


async def list_files(service: Service, _: str, request: web.BaseRequest) -> Response:
    """List files."""
    found = select_page(service.files.ordered, LIST_SPEC, parse_query(LIST_SPEC, request), service.calendar.now())
    return Response.json(200, found.envelope(file.view() for file in found.items))


async def get(service: Service, file_id: str, _: web.BaseRequest) -> Response:
    """Return a file."""
    return Response.json(200, service.files.find(file_id, service.calendar.now()).view())


async def download_link(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Return the download link of a file, and the file as a document of another run."""
    file = service.files.find(file_id, service.calendar.now())
    signature = {SIGNATURE: secrets.token_hex(8)}
    if service.files.contents.find(file_id) is None:
        # Nothing is behind it.
        return Response.json(200, file.link(str(URL(f"{DOWNLOAD_URL}{file.stored_name}") % signature)))
    return Response.json(200, file.link(str(own_url(request) / "download" / file_id % signature)))


async def download(service: Service, file_id: str, request: web.BaseRequest) -> Response:
    """Return the content of a file; any signature is accepted."""
    # The address is not the API: a client that sends its key there has leaked it.
    reject_credentials(request)
    content = service.files.contents.find(file_id)
    if content is None or not request.query.get(SIGNATURE):
        raise HTTPError(403, "The signature does not match.")
    file = service.files.find(file_id, service.calendar.now())
    return Response(200, content, {"Content-Type": file.mime_type})


ROUTES = (
    Route("GET", "/v1/files", list_files),
    Route("GET", "/v1/files/{id}", get),
    Route("GET", "/v1/files/{id}/download-link", download_link),
    Route("GET", "/download/{id}", download, authenticated=False),
)
