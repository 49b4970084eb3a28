"""The lines of a response that is still arriving."""

import asyncio

import aiohttp

from retab_async.errors import RequestError
from retab_async.protocol import MAX_LINE_BYTES, Request
from retab_async.throttle import FifoSemaphore
from retab_async.transport.error_mapping import ErrorMapper, sanitized_cause

_PIECE = 64 * 1024


class ResponseLines:
    """Line reader of a streamed response; it holds a connection slot until it is closed.

    Args:
        response: The response, of which only the head has been read.
        request: The request that it belongs to.
        number: The number of its attempt.
        errors: Maps failures; its timeout is that of each line.
        slots: Where the connection's slot is released.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: Request,
        number: int,
        errors: ErrorMapper,
        slots: FifoSemaphore,
    ) -> None:
        self._response = response
        self._request = request
        self._number = number
        self._errors = errors
        self._slots: FifoSemaphore | None = slots
        self._buffer = bytearray()

    async def next(self, extra: float = 0.0) -> bytes | None:
        """Return the next line, truncated after `MAX_LINE_BYTES` + 1, or None at the end."""
        seconds = self._errors.timeout + extra
        try:
            async with asyncio.timeout(seconds):
                return await self._read_line()
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = self._errors.to_error(self._request, self._number, seconds, error)
            cause = sanitized_cause(error)
        self.close()
        if isinstance(failure, RequestError):
            # The run was created, and its progress is unknown.
            failure.in_doubt = True
        raise failure from cause

    def close(self) -> None:
        """Release the connection: read to its end it is back in the pool already, otherwise it is closed."""
        if self._slots is not None:
            slots, self._slots = self._slots, None
            if not self._response.closed:
                self._response.close()
            slots.release()

    async def _read_line(self) -> bytes | None:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) <= MAX_LINE_BYTES:
            searched = len(self._buffer)
            piece = await self._read()
            if not piece:
                break
            self._buffer += piece
        if end < 0 and not self._buffer:
            return None
        line = bytes(self._buffer[: end if end >= 0 else MAX_LINE_BYTES + 1])
        del self._buffer[: len(line) + 1]
        return line

    async def _read(self) -> bytes:
        try:
            return await self._response.content.read(_PIECE)
        except RuntimeError as error:
            # What aiohttp raises for a connection that was closed from this side between two reads.
            raise aiohttp.ClientConnectionError from error
