"""One HTTP exchange: sends a `Request` once and reads the response."""

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import RetabError
from retab_async.protocol import MAX_CANCEL_BYTES, MAX_ERROR_BYTES, Body, DeliveryState, Request, Response
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore
from retab_async.transport.error_mapping import Attempt, ErrorMapper, IncompleteResponseError
from retab_async.transport.response_lines import ResponseLines
from retab_async.transport.session import CONNECTION_LOST_ERRORS, ConnectionPool, opened_sockets

if TYPE_CHECKING:
    from socket import socket

# No attempt has less, in seconds: aiohttp takes 0 for no timeout at all.
MIN_TIMEOUT_SECONDS = 0.001

# The slowest download that is given its time, in bytes a second.
_MIN_DOWNLOAD_RATE = 256 * 1024

# aiohttp rounds timeouts above its threshold up to the whole second.
_NEVER_ROUND = 1e9


class StreamedPayload(Payload):
    """A request body, written piece by piece; records in `delivery` when all of it has been written."""

    _autoclose = True

    def __init__(self, body: Body, delivery: DeliveryState) -> None:
        super().__init__(body, content_type=body.media_type)
        self._size = body.length
        self._body = body
        self._delivery = delivery
        # aiohttp turns whatever is raised during a write into a lost connection.
        self.failure: RetabError | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all pieces; an error of the body itself is kept as `failure`."""
        left = self._body.length
        try:
            async with aclosing(self._body.pieces()) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    # Before the last piece is written: the server cannot act on a truncated body.
                    self._delivery.is_sent |= not left
                    await writer.write(piece)
        except RetabError as error:
            self.failure = error
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Raise `NotImplementedError`: the body comes in pieces, and is read again for each attempt."""
        raise NotImplementedError(encoding, errors)


class DownloadTimer:
    """Timeout of one attempt, extended while a large response arrives.

    Attributes:
        timeout: The timeout to enter.
        seconds: How long it is now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = self._initial = seconds
        self.timeout = asyncio.timeout(seconds)
        self._began = asyncio.get_running_loop().time()
        self._announced = 0

    def begin(self, length: int, limit: int) -> None:
        """Take the announced length of the body, which is of no use past the limit."""
        self._announced = min(length, limit)
        self.count(0)

    def count(self, received: int) -> None:
        """Take the number of bytes received so far, and extend the timeout by the time that they may take."""
        self.seconds = self._initial + max(self._announced, received) / _MIN_DOWNLOAD_RATE
        self.timeout.reschedule(self._began + self.seconds)


class Exchange:
    """HTTP exchange: sends requests with the headers of one client, each once.

    Args:
        pool: The connections.
        settings: Credential, base URL, proxy and user agent.
        errors: Maps the failures of a streamed response; its timeout is the usual one of an attempt.
        slots: Where a streamed response releases its connection slot.
    """

    def __init__(self, pool: ConnectionPool, settings: Settings, errors: ErrorMapper, slots: FifoSemaphore) -> None:
        self._timeout = errors.timeout
        self._pool = pool
        self._errors = errors
        self._slots = slots
        self._usual_timeout = _client_timeout(errors.timeout)
        self._endless = _client_timeout(None, errors.timeout)
        self._credential = settings.credential
        self._secret = settings.credential.secret.encode()
        self._max_response_bytes = settings.max_response_bytes
        self._proxy_for = settings.proxy_for
        self._base_url = URL(settings.base_url)
        self._prefix = self._base_url.raw_path.rstrip("/")
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
        self._options: dict[str, dict[str, Any]] = {
            method: options | pool.options(method) for method in ("GET", "POST", "PUT", "DELETE")
        }

    async def run(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        """Send attempt `number` of a request and return its response, all within `seconds`.

        A kept-alive connection that the server had closed costs another send.

        Raises:
            aiohttp.ClientError: There was no response.
            TimeoutError: There was none in time.
        """
        until = time.monotonic() + seconds
        opened: list[socket] = []
        opened_sockets.set(opened)
        # A request without a body is sent as soon as it is written; a body records it itself.
        delivery.is_sent = request.body is None
        try:
            return await self._send(request, number, seconds, delivery)
        except CONNECTION_LOST_ERRORS as error:
            lost: Exception = error
        return await self._resend(request, number, until, lost, delivery)

    async def _resend(
        self, request: Request, number: int, until: float, lost: Exception, delivery: DeliveryState
    ) -> Response:
        again = True
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # a user's session that is not visible, so there it is done once.
            again = not self._pool.is_user_session
            delivery.in_doubt |= delivery.is_sent
            delivery.is_sent = request.body is None
            try:
                return await self._send(request, number, max(until - time.monotonic(), MIN_TIMEOUT_SECONDS), delivery)
            except CONNECTION_LOST_ERRORS as error:
                lost = error
        raise lost

    async def _send(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        body = None if request.body is None else StreamedPayload(request.body, delivery)
        failure: RetabError | None = None
        try:
            if request.external_url:
                with self._pool.external_session() as session:
                    return await self._receive(session, request, number, seconds, body)
            session = self._pool.session()
            if request.is_streamed:
                return await self._open(session, request, number, seconds, body)
            if request.max_response_bytes == MAX_CANCEL_BYTES:
                return await self._receive_small(session, request, number, seconds, body)
            return await self._receive(session, request, number, seconds, body)
        except aiohttp.ClientError:
            failure = body.failure if body is not None else None
            if failure is None:
                raise
        raise failure

    async def _receive_small(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        number: int,
        seconds: float,
        body: StreamedPayload | None,
    ) -> Response:
        # aiohttp's own timer takes less time than another one, which bulk cancels notice.
        timeout = self._usual_timeout if seconds == self._timeout else self._timeout_of(seconds)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await session.request(
                request.method, self._url(request), timeout=timeout, **self._request_kwargs(request, body)
            )
            return await self._read_body(response, request, number)
        except TimeoutError:
            if response is None:
                raise
            raise IncompleteResponseError(response.content.total_bytes, seconds) from None

    async def _receive(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        number: int,
        seconds: float,
        body: StreamedPayload | None,
    ) -> Response:
        # aiohttp's own timer cannot be extended while a large response arrives.
        timer = DownloadTimer(seconds)
        response: aiohttp.ClientResponse | None = None
        try:
            async with timer.timeout:
                response = await session.request(
                    request.method, self._url(request), timeout=self._endless, **self._request_kwargs(request, body)
                )
                return await self._read_body(response, request, number, timer)
        except TimeoutError:
            if response is None:
                raise
            raise IncompleteResponseError(response.content.total_bytes, timer.seconds) from None

    async def _open(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        number: int,
        seconds: float,
        body: StreamedPayload | None,
    ) -> Response:
        async with asyncio.timeout(seconds):
            response = await session.request(
                request.method, self._url(request), timeout=self._endless, **self._request_kwargs(request, body)
            )
            if not 200 <= response.status < 300:
                return await self._read_body(response, request, number)
        lines = ResponseLines(response, Attempt(request, number), self._errors, self._slots, self._credential)
        return Response(request, response.status, response.headers, b"", number, self._credential.redact, lines)

    async def _read_body(
        self, response: aiohttp.ClientResponse, request: Request, number: int, timer: DownloadTimer | None = None
    ) -> Response:
        try:
            limit = MAX_ERROR_BYTES
            if 200 <= response.status < 300:
                limit = request.max_response_bytes or self._max_response_bytes
            if timer is not None:
                timer.begin(response.content_length or 0, limit)
            content = await response.content.read(limit + 1)
            if len(content) <= limit and not response.content.at_eof():
                content = await _read_capped(response, content, limit, timer)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; otherwise it is of no use.
            if not response.closed:
                response.close()
        # The one place where a secret that the server echoes is removed; most bodies hold no backslash either.
        if self._secret in content or b"\\" in content:
            content = self._credential.redact_body(content)
        return Response(request, response.status, response.headers, content, number, self._credential.redact)

    def _url(self, request: Request) -> URL:
        if request.external_url:
            return URL(request.external_url, encoded=True)
        url = self._base_url.with_path(self._prefix + request.path, encoded=True)
        return URL(f"{url}?{request.query}", encoded=True) if request.query else url

    def _request_kwargs(self, request: Request, body: StreamedPayload | None) -> dict[str, Any]:
        # Never held by a frame that errors pass through: tools that collect locals would have the key.
        if request.external_url:
            return self._external_kwargs(request, body)
        if body is None:
            return self._options[request.method]
        headers = CIMultiDict({**self._headers, **dict(request.headers)})
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return {**self._options[request.method], "headers": headers, "data": body}

    def _external_kwargs(self, request: Request, body: StreamedPayload | None) -> dict[str, Any]:
        headers = CIMultiDict({"User-Agent": self._user_agent, **request.external_headers()})
        proxy = self._proxy_for(request.external_url)
        options = {**self._options[request.method], "headers": headers, "data": body, "proxy": proxy and URL(proxy)}
        # Those of the user's session are for the API alone.
        return options | ({"middlewares": ()} if self._pool.is_user_session else {})

    def _timeout_of(self, seconds: float) -> aiohttp.ClientTimeout:
        # A long timeout is for the transfer and the work of the server, not for connecting.
        return _client_timeout(seconds, min(seconds, self._timeout))


async def _read_capped(
    response: aiohttp.ClientResponse, start: bytes, limit: int, timer: DownloadTimer | None
) -> bytes:
    # In pieces, and no further than one byte past the limit: a few kilobytes of gzip can stand for gigabytes.
    body = bytearray(start)
    while len(body) <= limit and (piece := await response.content.read(limit + 1 - len(body))):
        body += piece
        if timer is not None:
            timer.count(len(body))
    return bytes(body)


def _client_timeout(seconds: float | None, connecting: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connecting, ceil_threshold=_NEVER_ROUND)
