"""The body of a create request, whatever its documents are."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from retab_async.documents.body import DocumentField, attachments, build_json_body, encoded_length
from retab_async.documents.open import Document, open_document
from retab_async.documents.sources import Source
from retab_async.documents.upload import download_link, transfer_seconds, upload
from retab_async.documents.urls import remote_document
from retab_async.errors import RequestError
from retab_async.models import FileRef, MIMEData
from retab_async.protocol import MIB, Body
from retab_async.transport import Transport

__all__ = ["build_create_body", "transfer_seconds"]

# The service takes no larger body of any request to itself.
_LARGEST = 32 * MIB


@asynccontextmanager
async def build_create_body(transport: Transport, fields: Mapping[str, Any]) -> AsyncIterator[Body]:
    """Give the body of a create request: its `fields`, each `Attachment` among them being a document.

    Documents with which the body would be too large for the service are uploaded here, the largest first, and then
    stand in the body by their URLs. The body is of use until this is left, whatever becomes of paths and file objects.

    Raises `InvalidDocumentError` for what cannot be read or sent, and what the calls raise that an upload, or a
    `FileRef`, takes.
    """
    async with AsyncExitStack() as open_ones:
        places: dict[DocumentField, MIMEData | Source] = {}
        found = list(attachments(fields))
        # What cannot be sent is found out before anything is.
        for each in found:
            if not isinstance(each.document, FileRef):
                places[each] = await _place_of(each.document, open_ones)
        for each in found:
            if isinstance(each.document, FileRef):
                with _before_any_run():
                    places[each] = await download_link(transport, each.document)
        body = build_json_body(fields, places)
        for attachment, source in _by_size(places):
            if body.length > _LARGEST:
                with _before_any_run():
                    places[attachment] = await upload(transport, source)
                body = build_json_body(fields, places)
        yield body


@contextmanager
def _before_any_run() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        # Of the upload there may be doubt; whoever creates a run asks whether there is one.
        error.in_doubt = False
        raise


async def _place_of(document: Document, open_ones: AsyncExitStack) -> MIMEData | Source:
    link = remote_document(document)
    return await open_ones.enter_async_context(open_document(document)) if link is None else link


def _by_size(places: Mapping[DocumentField, MIMEData | Source]) -> list[tuple[DocumentField, Source]]:
    sources = [(each, place) for each, place in places.items() if not isinstance(place, MIMEData)]
    return sorted(sources, key=lambda each: encoded_length(each[1]), reverse=True)
