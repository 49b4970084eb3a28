"""Response bodies: size limits, the time that a download may take, and redaction of the caller's secret."""

import asyncio
from collections.abc import Mapping

import aiohttp

from retab_async.protocol import MAX_ERROR_BYTES, Request, Response
from retab_async.settings import Settings

# The slowest download that is given its time, in bytes a second.
_MIN_DOWNLOAD_RATE = 256 * 1024
# Larger bodies are redacted piece by piece, so that the event loop goes on.
MAX_INLINE_BYTES = 256 * 1024
_BACKSLASH = ord("\\")


class IncompleteResponseError(TimeoutError):
    """A response that began but did not arrive completely in time.

    Attributes:
        received: The bytes of its body that arrived.
        extension: The seconds by which its attempt was extended.
    """

    def __init__(self, received: int, extension: float = 0.0) -> None:
        super().__init__(received, extension)
        self.received = received
        self.extension = extension


class DownloadTimer:
    """Timeout of one attempt, extended while a large response arrives.

    Attributes:
        timeout: The timeout to enter.
        extension: The seconds by which it was extended.
        received: The bytes of the body received so far, None before its begin.
    """

    def __init__(self, seconds: float) -> None:
        self.extension: float = 0.0
        self.timeout: asyncio.Timeout = asyncio.timeout(seconds)
        self._until = asyncio.get_running_loop().time() + seconds
        self._announced = 0
        self.received: int | None = None

    def begin(self, length: int, limit: int) -> None:
        """Take the announced length of the body, which is of no use past the limit."""
        self._announced = min(length, limit)
        self.count(0)

    def count(self, received: int) -> None:
        """Take the number of bytes received so far and extend the timeout by the time that they may take."""
        self.received = received
        self.extension = max(self._announced, received) / _MIN_DOWNLOAD_RATE
        self.timeout.reschedule(self._until + self.extension)


async def read_capped(content: aiohttp.StreamReader, length: int | None, limit: int, timer: DownloadTimer) -> bytes:
    """Return a decoded body, at most one byte past its limit.

    Args:
        content: The stream of the body.
        length: Its announced length in bytes, if any.
        limit: The most bytes to read.
        timer: Is extended while the body arrives.
    """
    timer.begin(length or 0, limit)
    start = await content.read(limit + 1)
    timer.count(len(start))
    if len(start) > limit or content.at_eof():
        return start
    # In pieces, and no further than one byte past the limit: a few kilobytes of gzip can stand for gigabytes.
    body = bytearray(start)
    while len(body) <= limit and (piece := await content.read(limit + 1 - len(body))):
        body += piece
        timer.count(len(body))
    return bytes(body)


class ResponseReader:
    """Makes responses of what was received, with one client's size limit and without its secret."""

    def __init__(self, settings: Settings) -> None:
        self._credential = settings.credential
        self._redact = settings.credential.redact
        self._secret = settings.credential.secret.encode()
        self._max_bytes = settings.max_response_bytes

    def limit_of(self, request: Request, status: int) -> int:
        """Return how many bytes the body of a response may have."""
        return request.response_limit(self._max_bytes) if 200 <= status < 300 else MAX_ERROR_BYTES

    def to_response(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes, number: int
    ) -> Response:
        """Return the response to attempt `number` of a request."""
        if self._may_hold_secret(request, status, body):
            body = self._credential.redact_body(body)
        return Response(request, status, headers, body, number, self._redact)

    async def to_large_response(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes, number: int
    ) -> Response:
        """Return the response as `to_response` does, in turns with other tasks."""
        if self._may_hold_secret(request, status, body):
            pieces: list[bytes] = []
            for piece in self._credential.redact_pieces(body):
                pieces.append(piece)
                await asyncio.sleep(0)
            body = b"".join(pieces)
        return Response(request, status, headers, body, number, self._redact)

    def _may_hold_secret(self, request: Request, status: int, body: bytes) -> bool:
        # What a storage service has is a document, and it was never sent the secret.
        if request.external_url and 200 <= status < 300:
            return False
        # Here a secret that the server echoes is removed; most bodies hold no backslash either. `find`, because `in`
        # raises and drops an exception before it searches bytes for bytes.
        return _BACKSLASH in body or body.find(self._secret) >= 0
