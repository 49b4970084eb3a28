"""One send of a `Request`, and the reading of its answer."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import RetabError
from retab_async.protocol import MAX_ERROR_BYTES, Body, DeliveryState, Request, Response
from retab_async.settings import Settings
from retab_async.transport.error_mapping import sanitized_cause
from retab_async.transport.response_lines import ResponseLines
from retab_async.transport.session import CONNECTION_LOST_ERRORS, ConnectionPool, opened_sockets
from retab_async.transport.wire import RequestHead, Wire, WirePool, WireResponse

if TYPE_CHECKING:
    from socket import socket


class StreamedPayload(Payload):
    """A body on its way, piece by piece; notes on the trail that it has been handed over whole."""

    _autoclose = True

    def __init__(self, body: Body, trail: DeliveryState) -> None:
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
                    self._trail.is_sent |= not left
                    await writer.write(piece)
        except RetabError as error:
            self.failure = error
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Refuse: the body is in pieces, to be read once more for each attempt."""
        raise NotImplementedError(encoding, errors)


# From what aiohttp raised, after how many seconds, to what it means.
ErrorMapper: TypeAlias = Callable[[Request, int, float, Exception], RetabError]

# No attempt is given less, in seconds: aiohttp takes 0 for no timeout at all.
MIN_TIMEOUT_SECONDS = 0.001

# aiohttp rounds timeouts above its threshold up to the whole second.
_NEVER_ROUND = 1e9


class Exchange:
    """Sends requests over a pool, each once, with the headers of one client; `usual_seconds` is their timeout.

    Of an answer that comes line by line, `meaning` tells what breaks it, and `release` is called when it is closed.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        settings: Settings,
        timeout: float,
        map_error: ErrorMapper,
        release: Callable[[], None],
    ) -> None:
        self.timeout = timeout
        self._pool = pool
        self._map_error = map_error
        self._release = release
        self._usual_timeout = _timeout(timeout)
        self._redact = settings.credential.redact
        self._address = URL(settings.base_url)
        self._prefix = self._address.raw_path.rstrip("/")
        self._user_agent = settings.user_agent
        self._headers = {
            "Accept": "application/json",
            "User-Agent": settings.user_agent,
            settings.credential.header: settings.credential.value,
        }
        options = {
            "headers": CIMultiDict(self._headers),
            # The key would be sent along to wherever a redirect points.
            "allow_redirects": False,
            **({"proxy": URL(settings.proxy)} if settings.proxy else {}),
        }
        self._is_direct = settings.proxy is None
        self._heads: dict[str, RequestHead] = {}
        self._options: dict[str, dict[str, Any]] = {
            method: options | pool.options(method) for method in ("GET", "POST", "PUT", "DELETE")
        }

    async def run(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        """Send attempt `number` of a request and return its answer, all within so many seconds.

        A kept-alive connection that the server had closed costs another send. Raises what aiohttp raises.
        """
        until = time.monotonic() + seconds
        if request.body is None and self._is_direct and not (request.external_url or request.is_streamed):
            wires = self._pool.wires()
            if wires is not None:
                return await self._run_on_wire(wires, request, number, until, delivery)
        opened: list[socket] = []
        opened_sockets.set(opened)
        # What carries no body is gone as soon as it is on the socket; a body says when it is.
        delivery.is_sent = request.body is None
        try:
            return await self._send(request, number, seconds, delivery)
        except CONNECTION_LOST_ERRORS as error:
            lost: Exception = error
        return await self._resend(request, number, until, lost, delivery)

    async def _run_on_wire(
        self, wires: WirePool, request: Request, number: int, until: float, delivery: DeliveryState
    ) -> Response:
        delivery.is_sent = True
        wires.watch(until)
        while True:
            wire = wires.acquire_idle()
            if wire is None:
                left = max(until - time.monotonic(), MIN_TIMEOUT_SECONDS)
                wire = await wires.open(self._address, min(left, self.timeout))
            try:
                response = await wire.send(self._head(request.method), self._target(request), until)
                if response is None:
                    response = await self._read_delegated(wires, wire, request, until)
                else:
                    wires.release(wire)
            except CONNECTION_LOST_ERRORS:
                wires.discard(wire)
                if not wire.is_reused:
                    raise
                # The server had closed this kept-alive connection: send again, uncounted.
                delivery.in_doubt = True
            except BaseException:
                wires.discard(wire)
                raise
            else:
                return Response(request, response.status, response.headers, response.body, number, self._redact)

    async def _read_delegated(self, wires: WirePool, wire: Wire, request: Request, until: float) -> WireResponse:
        limits = (request.max_response_bytes, MAX_ERROR_BYTES)
        async with asyncio.timeout(max(until - time.monotonic(), MIN_TIMEOUT_SECONDS)):
            response, is_reusable = await wire.read_delegated(*limits)
        if is_reusable:
            wires.hand_back(wire)
        else:
            wires.discard(wire)
        return response

    def _head(self, method: str) -> RequestHead:
        head = self._heads.get(method)
        if head is None:
            head = self._heads[method] = RequestHead(method, self._address, self._headers)
        return head

    def _target(self, request: Request) -> bytes:
        query = f"?{request.query}" if request.query else ""
        return f"{self._prefix}{request.path}{query}".encode("ascii")

    async def _resend(
        self, request: Request, number: int, until: float, lost: Exception, delivery: DeliveryState
    ) -> Response:
        again = True
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # someone else's session that cannot be told, so there it is done once.
            again = not self._pool.is_user_session
            delivery.in_doubt |= delivery.is_sent
            delivery.is_sent = request.body is None
            try:
                return await self._send(request, number, max(until - time.monotonic(), MIN_TIMEOUT_SECONDS), delivery)
            except CONNECTION_LOST_ERRORS as error:
                lost = error
        raise lost

    async def _send(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        session = self._pool.session()
        self._pool.lend_connection()
        timeout = self._usual_timeout if seconds == self.timeout else self._timeout(seconds)
        body = None if request.body is None else StreamedPayload(request.body, delivery)
        failure: RetabError | None = None
        try:
            if request.is_streamed:
                return await self._open(request, number, seconds, body)
            answer = await session.request(
                request.method, self._url(request), timeout=timeout, **self._request_kwargs(request, body)
            )
        except aiohttp.ClientError:
            failure = body.failure if body is not None else None
            if failure is None:
                raise
        if failure is not None:
            raise failure
        return await self._read_body(answer, request, number)

    async def _open(self, request: Request, number: int, seconds: float, body: StreamedPayload | None) -> Response:
        # aiohttp's own clock would go on ticking while the lines come.
        endless = _timeout(None, self.timeout)
        async with asyncio.timeout(seconds):
            session = self._pool.session()
            answer = await session.request(
                request.method, self._url(request), timeout=endless, **self._request_kwargs(request, body)
            )
            if not 200 <= answer.status < 300:
                return await self._read_body(answer, request, number)

        def meaning(seconds: float, error: Exception) -> tuple[RetabError, BaseException | None]:
            return self._map_error(request, number, seconds, error), sanitized_cause(error)

        lines = ResponseLines(answer, self.timeout, meaning, self._release)
        return Response(request, answer.status, answer.headers, b"", number, self._redact, lines)

    async def _read_body(self, answer: aiohttp.ClientResponse, request: Request, number: int) -> Response:
        try:
            cap = request.max_response_bytes if 200 <= answer.status < 300 else MAX_ERROR_BYTES
            content = await answer.content.read(cap + 1)
            if len(content) <= cap and not answer.content.at_eof():
                content = await _read_capped(answer, content, cap)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; any other one is of no use.
            if not answer.closed:
                answer.close()
        return Response(request, answer.status, answer.headers, content, number, self._redact)

    def _url(self, request: Request) -> URL:
        if request.external_url:
            return URL(request.external_url, encoded=True)
        url = self._address.with_path(self._prefix + request.path, encoded=True)
        return URL(f"{url}?{request.query}", encoded=True) if request.query else url

    def _request_kwargs(self, request: Request, body: StreamedPayload | None) -> dict[str, Any]:
        # Never to be held by a frame that errors pass through: whoever collects locals would have the key.
        if body is None:
            return self._options[request.method]
        told = {"User-Agent": self._user_agent} if request.external_url else self._headers
        headers = CIMultiDict({**told, **dict(request.headers)})
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return {**self._options[request.method], "headers": headers, "data": body}

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        # What may take long to be answered is to connect as quickly as everything else.
        return _timeout(seconds, min(seconds, self.timeout))


async def _read_capped(answer: aiohttp.ClientResponse, start: bytes, cap: int) -> bytes:
    # In pieces, and no further than one byte past the cap: a few kilobytes of gzip can stand for gigabytes.
    body = bytearray(start)
    while len(body) <= cap and (piece := await answer.content.read(cap + 1 - len(body))):
        body += piece
    return bytes(body)


def _timeout(seconds: float | None, connecting: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connecting, ceil_threshold=_NEVER_ROUND)
