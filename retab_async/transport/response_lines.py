"""The lines of a response that is still arriving."""

import asyncio

import aiohttp

from retab_async.errors import RequestError
from retab_async.protocol import MAX_LINE_BYTES, event_data, is_keep_alive
from retab_async.settings import Credential
from retab_async.throttle import FifoSemaphore
from retab_async.transport.error_mapping import Attempt, ErrorMapper, sanitized_cause

_PIECE = 64 * 1024
# How many bytes the handling of one line is worth.
_LINE_COST = 512
# Seconds without data after which comments no longer keep a stream open.
_MAX_SILENCE = 1800.0
_DONE = b"[DONE]"


class ResponseLines:
    """Line reader of a streamed response; it holds a connection slot until it is closed.

    Args:
        response: The response, of which only the head has been read.
        attempt: The attempt that it belongs to.
        errors: Maps failures; its timeout is that of each line.
        slots: Where the connection's slot is released.
        credential: Its secret is removed from each line.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        attempt: Attempt,
        errors: ErrorMapper,
        slots: FifoSemaphore,
        credential: Credential,
    ) -> None:
        self._credential = credential
        self._response = response
        self._attempt = attempt
        self._errors = errors
        self._slots: FifoSemaphore | None = slots
        self._buffer = bytearray()
        self._unyielded = 0

    async def next(self, extra: float = 0.0) -> bytes | None:
        """Return the data of the next line that has any, truncated after `MAX_LINE_BYTES` + 1, or None at the end.

        Lines without data count towards the timeout. A comment, by which a server keeps a silent stream open, starts it
        again, for half an hour at most.
        """
        seconds = self._errors.timeout + extra
        try:
            async with asyncio.timeout(seconds) as timer:
                return await self._next_data(timer, seconds)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = self._errors.to_error(*self._attempt, seconds, error)
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

    async def _next_data(self, timer: asyncio.Timeout, seconds: float) -> bytes | None:
        clock = asyncio.get_running_loop().time
        latest = clock() + max(seconds, _MAX_SILENCE)
        while (line := await self._read_line()) is not None:
            await self._yield_fairly(len(line))
            data = event_data(line)
            if data == _DONE:
                return None
            if data:
                return self._credential.redact_body(data)
            if is_keep_alive(line):
                timer.reschedule(min(clock() + seconds, latest))
        return None

    async def _yield_fairly(self, length: int) -> None:
        # What is buffered is read without waiting, and a fast sender keeps the buffer full.
        self._unyielded += length + _LINE_COST
        if self._unyielded > _PIECE:
            self._unyielded = 0
            await asyncio.sleep(0)

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
