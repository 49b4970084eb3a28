"""The body of a create request, whatever its documents are."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from retab_async.documents.addresses import passed_on
from retab_async.documents.bodies import Attachment, attachments, encoded_length, json_body
from retab_async.documents.links import link_to
from retab_async.documents.opening import Document, opened
from retab_async.documents.sources import Source
from retab_async.documents.uploads import sending_time, upload
from retab_async.models import FileRef, MIMEData
from retab_async.protocol import MIB, Body
from retab_async.transport import Transport

__all__ = ["create_body", "sending_time"]

# The service takes no larger body of any request to itself.
_LARGEST = 32 * MIB


@asynccontextmanager
async def create_body(transport: Transport, fields: Mapping[str, Any]) -> AsyncIterator[Body]:
    """Give the body of a create request: its `fields`, each `Attachment` among them being a document.

    Documents with which the body would be too large for the service are uploaded here, the largest first, and then
    stand in the body by their URLs. The body is of use until this is left.

    Raises `InvalidDocumentError` for what cannot be read or sent, `InvalidRunIdError` for a `FileRef` with no such id,
    and what the calls raise that an upload, or a `FileRef`, takes.
    """
    async with AsyncExitStack() as open_ones:
        places: dict[Attachment, MIMEData | Source] = {}
        found = list(attachments(fields))
        # What cannot be sent is found out before anything is.
        for each in found:
            if not isinstance(each.document, FileRef):
                places[each] = await _place_of(each.document, open_ones)
        for each in found:
            if isinstance(each.document, FileRef):
                places[each] = await link_to(transport, each.document)
        body = json_body(fields, places)
        for attachment, source in _by_size(places):
            if body.length > _LARGEST:
                places[attachment] = await upload(transport, source)
                body = json_body(fields, places)
        yield body


async def _place_of(document: Document, open_ones: AsyncExitStack) -> MIMEData | Source:
    link = passed_on(document)
    return await open_ones.enter_async_context(opened(document)) if link is None else link


def _by_size(places: Mapping[Attachment, MIMEData | Source]) -> list[tuple[Attachment, Source]]:
    sources = [(each, place) for each, place in places.items() if not isinstance(place, MIMEData)]
    return sorted(sources, key=lambda each: encoded_length(each[1]), reverse=True)
