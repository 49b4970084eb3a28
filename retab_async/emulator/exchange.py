"""One request and its connection, in the hands of a fault."""

import asyncio
import http.client
import socket
import struct
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web

from retab_async.emulator.answers import Answer

# aiohttp does not tell a handler that its client has gone; a hanging one looks for itself this often.
WATCH_INTERVAL = 0.05


@attrs.frozen(kw_only=True)
class Exchange:
    """One request under a fault, with what the fault may do to it."""

    request: web.BaseRequest
    proceed: Callable[[], Awaitable[Answer]]
    present: Callable[[Answer], web.StreamResponse]
    note_unanswered: Callable[[], None]
    closing: asyncio.Event

    async def hang(self) -> None:
        """Answer nothing until the client goes or the emulator closes."""
        self.note_unanswered()
        closing = False
        while self.request.transport is not None and not closing:
            closing = await pause(WATCH_INTERVAL, self.closing)
        self.reset()

    async def outwaited(self, seconds: float) -> bool:
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

    def tear(self, answer: Answer) -> None:
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
