"""The body of a create request: documents inline, by URL, or uploaded first if the body would be too large."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from retab_async.documents.body import JSONBody, JSONTemplate, base64_length
from retab_async.documents.open import open_document, split_filename
from retab_async.documents.progress import ProgressBody, UploadCallback
from retab_async.documents.sources import Source
from retab_async.documents.upload import resolve_file_ref, upload_source
from retab_async.documents.urls import remote_document
from retab_async.errors import RequestError
from retab_async.models import FileRef, MIMEData
from retab_async.protocol import MIB, Body, BytesBody

if TYPE_CHECKING:
    from retab_async.transport import Transport

# The service accepts no larger body of any request.
_MAX_BODY_BYTES = 32 * MIB
# Sent as bytes: nothing stays open, and programs that record requests can copy the body.
_SMALL_BODY_BYTES = MIB


@asynccontextmanager
async def build_create_body(
    transport: "Transport", fields: Mapping[str, Any], on_upload: UploadCallback | None = None
) -> AsyncIterator[Body]:
    """Open the documents of a create and build its body, valid until the block exits.

    Args:
        transport: Sends the uploads.
        fields: The JSON of the request, with a `DocumentField` in the place of each document. If the body would be
            too large for the service, the largest documents are uploaded until the rest fits.
        on_upload: Called while a document, or the body, is sent.

    Raises:
        InvalidDocumentError: A document cannot be read or sent; nothing was sent.
        RequestError: An upload, or the look-up of a `FileRef`, failed.
    """
    template = JSONTemplate(fields)
    documents = [split_filename(field.document, field.filename) for field in template.documents]
    max_seconds = transport.policy.deadline
    async with AsyncExitStack() as stack:
        # Every document is opened before anything is sent: an invalid one costs no request.
        opened = [await _open(content, filename, stack, max_seconds) for content, filename in documents]
        with _no_run_in_doubt():
            values = [await resolve_file_ref(transport, each) if isinstance(each, FileRef) else each for each in opened]
            body = template.fill(values)
            for index, source in _largest_first(values):
                if body.length > _MAX_BODY_BYTES:
                    values[index] = file = await upload_source(transport, source, on_upload)
                    on_uploaded = template.documents[index].on_uploaded
                    if on_uploaded is not None:
                        await on_uploaded(file)
                    body = template.fill(values)
        if isinstance(body, JSONBody) and body.length <= _SMALL_BODY_BYTES:
            body = BytesBody(b"".join([piece async for piece in body.pieces()]))
            await stack.aclose()
        yield body if on_upload is None else ProgressBody(body, on_upload)


async def _open(
    content: object, filename: str, stack: AsyncExitStack, max_seconds: float
) -> MIMEData | FileRef | Source:
    if isinstance(content, FileRef):
        return attrs.evolve(content, filename=filename or content.filename)
    link = remote_document(content, filename)
    if link is not None:
        return link
    return await stack.enter_async_context(open_document(content, filename, max_seconds=max_seconds))


@contextmanager
def _no_run_in_doubt() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        # The upload may be in doubt; the caller asks whether a run may exist.
        error.in_doubt = False
        raise


def _largest_first(values: list[MIMEData | Source]) -> list[tuple[int, Source]]:
    sources = [(index, each) for index, each in enumerate(values) if not isinstance(each, MIMEData)]
    return sorted(sources, key=lambda each: base64_length(each[1]), reverse=True)
