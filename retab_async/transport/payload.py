"""The body of a request in the form in which aiohttp sends it."""

from contextlib import aclosing
from typing import NoReturn

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from retab_async.errors import RetabError
from retab_async.protocol import Body, Trail


class Streamed(Payload):
    """A body on its way, piece by piece; notes on the trail that it has been handed over whole."""

    _autoclose = True

    def __init__(self, body: Body, trail: Trail) -> None:
        super().__init__(body, content_type=body.media_type)
        self._size = body.length
        self._body = body
        self._trail = trail
        # aiohttp makes a lost connection of whatever is raised while it writes.
        self.failure: RetabError | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all pieces; what goes wrong in making them is kept as the `failure`."""
        left = self._body.length
        try:
            async with aclosing(self._body.pieces()) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    # Before the last piece leaves: a body that was cut short cannot be acted upon.
                    self._trail.under_way |= not left
                    await writer.write(piece)
        except RetabError as error:
            self.failure = error
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Refuse: the body is in pieces, to be read once more for each attempt."""
        raise NotImplementedError(encoding, errors)
