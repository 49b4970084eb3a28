"""Lines sent one by one, and each of them in pieces, as they come through a network."""

import asyncio
from collections.abc import Iterable, Iterator

from aiohttp import ClientConnectionError, web

from retab_async.emulator.exchange import Exchange

# In seconds of real time, before every piece.
PAUSE = 0.005


async def play(exchange: Exchange, response: web.StreamResponse, lines: Iterable[bytes]) -> bool:
    """Send `lines`; tell whether all went, and note it when the client left or the emulator closed before."""
    try:
        await response.prepare(exchange.request)
        for piece in _pieces(lines):
            await asyncio.sleep(PAUSE)
            if exchange.closing.is_set():
                break
            await response.write(piece)
        else:
            await response.write_eof()
            return True
    except (ConnectionError, ClientConnectionError):
        pass  # the client went: noted below, as is a stream that the closing broke off
    exchange.note_unanswered()
    exchange.reset()
    return False


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    # A line is not a chunk, and a client that takes one for the other is to be found out.
    for line in lines:
        middle = len(line) // 2
        yield line[:middle]
        yield line[middle:]
