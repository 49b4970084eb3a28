"""Files: which there are, what one is, and where it could be had."""

from aiohttp import web

from retab_async.emulator.answers import Response
from retab_async.emulator.files import File
from retab_async.emulator.filters import DATES, equals, name_begins, sorted_by
from retab_async.emulator.listing import Filter, ListSpec, page, read_wanted
from retab_async.emulator.routing import Route
from retab_async.emulator.service import Service

LISTING: ListSpec[File] = ListSpec(
    filters=(
        name_begins("filename", lambda file: file.filename),
        equals("mime_type", lambda file: file.mime_type),
        # Files have no embeddings here, with or without them.
        Filter("include_embeddings", lambda _: lambda __, ___: True),
        sorted_by("created_at", "updated_at"),
        *DATES,
    ),
    shows=File.is_there,
    refuses_stray_cursors=False,
)


async def show_page(service: Service, _: str, request: web.BaseRequest) -> Response:
    """Show a page of files."""
    found = page(service.files.ordered, LISTING, read_wanted(LISTING, request), service.calendar.now())
    return Response.json(200, found.envelope(file.view() for file in found.shown))


async def read(service: Service, file_id: str, _: web.BaseRequest) -> Response:
    """Show a file."""
    return Response.json(200, service.files.find(file_id, service.calendar.now()).view())


async def link(service: Service, file_id: str, _: web.BaseRequest) -> Response:
    """Show how a file is had, and how it becomes the document of another run."""
    return Response.json(200, service.files.find(file_id, service.calendar.now()).link())


ROUTES = (
    Route("GET", "/v1/files", show_page),
    Route("GET", "/v1/files/{id}", read),
    Route("GET", "/v1/files/{id}/download-link", link),
)
