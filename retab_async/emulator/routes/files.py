"""Files: what one is, and where it could be had."""

from aiohttp import web

from retab_async.emulator.answers import Answer
from retab_async.emulator.routing import Route
from retab_async.emulator.service import Service


async def read(service: Service, file_id: str, _: web.BaseRequest) -> Answer:
    """Show a file."""
    return Answer.json(200, service.files.find(file_id).view())


async def link(service: Service, file_id: str, _: web.BaseRequest) -> Answer:
    """Show how a file is had, and how it becomes the document of another run."""
    return Answer.json(200, service.files.find(file_id).link())


ROUTES = (
    Route("GET", "/v1/files/{id}", read),
    Route("GET", "/v1/files/{id}/download-link", link),
)
