"""A request and its connection: what a fault may do to them, and the sending of streams."""

import asyncio
import http.client
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator
from ipaddress import ip_address

import attrs
from aiohttp import ClientConnectionError, web
from yarl import URL

from retab_async.emulator.responses import HTTPError, Response

# Seconds; aiohttp does not notify a handler of a client's disconnect, so a hanging handler polls for it.
DISCONNECT_POLL_INTERVAL = 0.05


@attrs.frozen
class RecordedRequest:
    """Request that the emulator served.

    Attributes:
        method: The HTTP method.
        path: The path as it was sent, without the query.
        status: The status of the response; None if no complete response was sent.
        query: The query string as it was sent, without the `?`.
        idempotency_key: The `Idempotency-Key` header.
        api_key: The key that it came with, which tells the tenants of an app apart; no part of the `repr`, or of `==`.
    """

    method: str
    path: str
    status: int | None
    query: str = ""
    idempotency_key: str | None = None
    # A failed test prints the requests, and the key may be a real one.
    api_key: str | None = attrs.field(default=None, eq=False, repr=False)

    @classmethod
    def of(cls, request: web.BaseRequest, status: int | None) -> "RecordedRequest":
        """Record a request with the status of its response."""
        url = request.rel_url
        headers = request.headers
        api_key = headers.get("Api-Key") or headers.get("Authorization", "").removeprefix("Bearer ") or None
        query, idempotency_key = url.raw_query_string, headers.get("Idempotency-Key")
        return cls(request.method, url.raw_path, status, query, idempotency_key, api_key)


@attrs.frozen(kw_only=True)
class Connection:
    """One request and its connection, as faults see them.

    Attributes:
        request: The request.
        handle: Lets the request take effect, and returns its usual response.
        to_web_response: Converts a response for aiohttp, with the headers that all responses have.
        record_unanswered: Records the request as one without a complete response.
        closing: Set while the emulator closes.
    """

    request: web.BaseRequest
    handle: Callable[[], Awaitable[Response]]
    to_web_response: Callable[[Response], web.StreamResponse]
    record_unanswered: Callable[[], None]
    closing: asyncio.Event

    async def hang(self) -> None:
        """Send nothing until the client disconnects or the emulator closes."""
        self.record_unanswered()
        closing = False
        while self.request.transport is not None and not closing:
            closing = await sleep_unless_closing(DISCONNECT_POLL_INTERVAL, self.closing)
        self.reset()

    async def delay(self, seconds: float) -> bool:
        """Wait `seconds`, or until the emulator closes; return whether the client is still connected."""
        await sleep_unless_closing(seconds, self.closing)
        if self.request.transport is None:
            self.record_unanswered()
            return False
        return True

    def reset(self) -> None:
        """Send a TCP reset, unless the client has disconnected."""
        transport = self.request.transport
        if transport is None:
            return
        # With a linger time of zero close() sends RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def truncate(self, response: Response) -> None:
        """Send the head of a response and half of its body, then close."""
        transport = self.request.transport
        if transport is None:
            return
        body = response.full_body()
        headers = {**self.to_web_response(response).headers, "Content-Length": str(len(body) + 1)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {response.status} {http.client.responses.get(response.status, '')}\r\n{lines}\r\n"
        transport.write(head.encode() + body[: len(body) // 2])
        transport.close()


def check_host(request: web.BaseRequest) -> None:
    """Reject a request whose Host header is neither `localhost` nor an IP address.

    A browser page that reaches the emulator by DNS rebinding sends the name of its own site.
    """
    try:
        host = URL(f"http://{request.host}").host or ""
        if host != "localhost":
            ip_address(host)
    except ValueError:
        detail = f"Host {request.host!r} is not this emulator: use its IP address or localhost."
        raise HTTPError(421, detail) from None


def own_url(request: web.BaseRequest) -> URL:
    """Return the address at which the request arrived, whatever its Host header says."""
    transport = request.transport
    host, port = transport.get_extra_info("sockname")[:2] if transport else ("127.0.0.1", 0)
    return URL.build(scheme="http", host=host, port=port)


async def sleep_unless_closing(seconds: float, closing: asyncio.Event) -> bool:
    """Wait `seconds`, or until the emulator closes; return whether it does."""
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return False
    return True


async def send_stream(
    connection: Connection, response: web.StreamResponse, lines: Iterable[bytes], chunk_interval: float
) -> bool:
    """Send `lines`; return whether all were sent, and record the request as unanswered if not."""
    try:
        await response.prepare(connection.request)
        for chunk in _chunks(lines):
            await asyncio.sleep(chunk_interval)
            if connection.closing.is_set():
                break
            await response.write(chunk)
        else:
            await response.write_eof()
            return True
    except (ConnectionError, ClientConnectionError):
        pass  # the client disconnected: recorded below, like a stream that the closing interrupted
    connection.record_unanswered()
    connection.reset()
    return False


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    # Two chunks a line, to reveal a client that takes a chunk for a line.
    for line in lines:
        middle = len(line) // 2
        yield line[:middle]
        yield line[middle:]
