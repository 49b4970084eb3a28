"""Progress of uploads: a callback that is called while the body of a request is sent."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from retab_async.protocol import Body

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class UploadProgress:
    """Progress of sending one request body.

    Attributes:
        sent: Bytes handed to the connection so far; starts again if the request is retried.
        total: Bytes of the body.
        filename: Name of the document that is uploaded by itself; None for the body of a create, with its other
            documents.
    """

    sent: int
    total: int
    filename: str | None = None


UploadCallback: TypeAlias = Callable[[UploadProgress], object]


class ProgressBody:
    """Request body that reports its progress; an exception of the callback is logged and ends the reports.

    Args:
        body: The body.
        on_upload: Called after each piece that was sent.
        filename: Name of the document, None for the body of a create.
    """

    def __init__(self, body: "Body", on_upload: UploadCallback, filename: str | None = None) -> None:
        self._body = body
        self._on_upload: UploadCallback | None = on_upload
        self._filename = filename

    @property
    def media_type(self) -> str:
        """The Content-Type."""
        return self._body.media_type

    @property
    def length(self) -> int:
        """The Content-Length."""
        return self._body.length

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the body, and report each when the next one is asked for."""
        sent, total = 0, self._body.length
        async with aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                yield piece
                sent += len(piece)
                self._report(UploadProgress(sent=sent, total=total, filename=self._filename))

    def _report(self, progress: UploadProgress) -> None:
        if self._on_upload is None:
            return
        try:
            self._on_upload(progress)
        except Exception:
            self._on_upload = None
            _logger.exception("on_upload failed and is not called again; the upload continues")
