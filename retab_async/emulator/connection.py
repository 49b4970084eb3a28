"""One request and its connection, in the hands of a fault."""

import asyncio
import http.client
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

import attrs
from aiohttp import ClientConnectionError, web

from retab_async.emulator.answers import Response

# aiohttp does not tell a handler that its client has gone; a hanging one looks for itself this often.
WATCH_INTERVAL = 0.05


@attrs.frozen(kw_only=True)
class Connection:
    """One request under a fault, with what the fault may do to it."""

    request: web.BaseRequest
    proceed: Callable[[], Awaitable[Response]]
    present: Callable[[Response], web.StreamResponse]
    note_unanswered: Callable[[], None]
    closing: asyncio.Event

    async def hang(self) -> None:
        """Answer nothing until the client goes or the emulator closes."""
        self.note_unanswered()
        closing = False
        while self.request.transport is not None and not closing:
            closing = await pause(WATCH_INTERVAL, self.closing)
        self.reset()

    async def delay(self, seconds: float) -> bool:
        """Wait `seconds`, or until the emulator closes; tell whether the client did too, and note when it did not."""
        await pause(seconds, self.closing)
        if self.request.transport is None:
            self.note_unanswered()
            return False
        return True

    def reset(self) -> None:
        """Send a TCP reset, unless the client has gone already."""
        transport = self.request.transport
        if transport is None:
            return
        # A linger of no time is what makes close() send RST in place of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def truncate(self, answer: Response) -> None:
        """Send the head of an answer and half of its body, then close."""
        transport = self.request.transport
        if transport is None:
            return
        body = answer.whole()
        headers = {**self.present(answer).headers, "Content-Length": str(len(body) + 1)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, '')}\r\n{lines}\r\n"
        transport.write(head.encode() + body[: len(body) // 2])
        transport.close()


async def pause(seconds: float, closing: asyncio.Event) -> bool:
    """Wait `seconds`, or until the emulator closes; tell whether it does."""
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return False
    return True


# In seconds of real time, before every piece.
PAUSE = 0.005


async def play(exchange: Connection, response: web.StreamResponse, lines: Iterable[bytes]) -> bool:
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


class RecordedRequest(NamedTuple):
    """A request that was served; its status is None where no whole answer was sent.

    Its path goes without the `query`, which is as it was sent; `key` is its Idempotency-Key.
    """

    method: str
    path: str
    status: int | None
    query: str = ""
    idempotency_key: str | None = None

    @classmethod
    def of(cls, request: web.BaseRequest, status: int | None) -> "RecordedRequest":
        """Record a request with the status of its answer."""
        url = request.rel_url
        return cls(request.method, url.raw_path, status, url.raw_query_string, request.headers.get("Idempotency-Key"))
