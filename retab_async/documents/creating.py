"""The body of a create request, whatever its document is."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from retab_async.documents.addresses import passed_on
from retab_async.documents.bodies import InlineBody, linking_body
from retab_async.documents.links import link_to
from retab_async.documents.opening import Document, opened
from retab_async.documents.uploads import sending_time, upload
from retab_async.models import FileRef
from retab_async.protocol import MIB, Body
from retab_async.transport import Transport

__all__ = ["create_body", "sending_time"]

# The service takes no larger body of any request to itself.
_LARGEST = 32 * MIB


@asynccontextmanager
async def create_body(transport: Transport, document: Document, fields: Mapping[str, Any]) -> AsyncIterator[Body]:
    """Give the body of a create request: `fields`, of which there is at least one, with the document among them.

    A document with which the body would be too large for the service is uploaded here, and then stands in the body by
    its URL. The body is of use until this is left.

    Raises `InvalidDocumentError` for what cannot be read or sent, `InvalidRunIdError` for a `FileRef` with no such id,
    and what the calls raise that an upload, or a `FileRef`, takes.
    """
    link = await link_to(transport, document) if isinstance(document, FileRef) else passed_on(document)
    if link is not None:
        yield linking_body(link, fields)
        return
    async with opened(document) as source:
        inline = InlineBody.of(source, fields)
        if inline.length <= _LARGEST:
            yield inline
        else:
            yield linking_body(await upload(transport, source), fields)
