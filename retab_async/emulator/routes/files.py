"""Routes of files: list, get, download link."""

from aiohttp import web

from retab_async.emulator.files import File
from retab_async.emulator.filters import DATES, equals, name_prefix, sort_order
from retab_async.emulator.listing import Filter, ListSpec, parse_query, select_page
from retab_async.emulator.responses import Response
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


async def download_link(service: Service, file_id: str, _: web.BaseRequest) -> Response:
    """Return the download link of a file, and the file as a document of another run."""
    return Response.json(200, service.files.find(file_id, service.calendar.now()).link())


ROUTES = (
    Route("GET", "/v1/files", list_files),
    Route("GET", "/v1/files/{id}", get),
    Route("GET", "/v1/files/{id}/download-link", download_link),
)
