"""The lines of an answer that is still coming."""

import asyncio
from collections.abc import Callable

import aiohttp

from retab_async.errors import RequestError, RetabError
from retab_async.protocol import MAX_LINE_BYTES

_PIECE = 64 * 1024


class ResponseLines:
    """Reads an answer line by line, each of them within so many `seconds`, and calls `release` when it is closed.

    `meaning` makes an error of ours of what went wrong after so many seconds.
    """

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        seconds: float,
        meaning: Callable[[float, Exception], tuple[RetabError, BaseException | None]],
        release: Callable[[], None],
    ) -> None:
        self._answer = answer
        self._seconds = seconds
        self._meaning = meaning
        self._release: Callable[[], None] | None = release
        self._buffer = bytearray()

    async def next(self, extra: float = 0.0) -> bytes | None:
        """Return the next line, cut off behind the cap, or None at the end."""
        seconds = self._seconds + extra
        try:
            async with asyncio.timeout(seconds):
                return await self._read_line()
        except (aiohttp.ClientError, TimeoutError) as error:
            failure, cause = self._meaning(seconds, error)
        self.close()
        if isinstance(failure, RequestError):
            # What was asked for is under way, and nobody can tell how far.
            failure.in_doubt = True
        raise failure from cause

    def close(self) -> None:
        """Let go of the connection: read to its end it is back in the pool already, any other one is of no use."""
        if self._release is not None:
            release, self._release = self._release, None
            if not self._answer.closed:
                self._answer.close()
            release()

    async def _read_line(self) -> bytes | None:
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0 and len(self._buffer) <= MAX_LINE_BYTES:
            seen = len(self._buffer)
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
            return await self._answer.content.read(_PIECE)
        except RuntimeError as error:
            # What aiohttp says of a connection that was closed from this side while nobody was reading.
            raise aiohttp.ClientConnectionError from error
