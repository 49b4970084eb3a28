"""One HTTP exchange: sends a `Request` once and reads the response."""

import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload, Payload, register_payload
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import RetabError
from retab_async.protocol import Body, BytesBody, DeliveryState, Request, Response
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore
from retab_async.transport.error_mapping import Attempt, ErrorMapper
from retab_async.transport.fast_exchange import FastExchange
from retab_async.transport.response_body import (
    MAX_INLINE_BYTES,
    DownloadTimer,
    IncompleteResponseError,
    ResponseReader,
    read_capped,
)
from retab_async.transport.response_lines import ResponseLines
from retab_async.transport.session import CONNECTION_LOST_ERRORS, ConnectionPool, opened_sockets, public_only

if TYPE_CHECKING:
    from socket import socket

# No attempt has less, in seconds: aiohttp takes 0 for no timeout at all.
MIN_TIMEOUT_SECONDS = 0.001

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


class TrackedBytes(bytes):
    """A small request body as plain bytes, which programs that record requests can copy; see `TrackedPayload`."""

    body: BytesBody
    delivery: DeliveryState

    @classmethod
    def of(cls, body: BytesBody, delivery: DeliveryState) -> "TrackedBytes":
        """Return the content of a body; `delivery` records when it is written."""
        content = cls(body.content)
        content.body, content.delivery = body, delivery
        return content

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        # Copies and pickles are bytes.
        return bytes, (bytes(self),)


class TrackedPayload(BytesPayload):
    """What aiohttp makes of `TrackedBytes`: records in their `delivery` that all of them are written."""

    def __init__(self, content: TrackedBytes, *args: Any, **kwargs: Any) -> None:
        super().__init__(content, *args, content_type=content.body.media_type, **kwargs)
        self._delivery = content.delivery

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the bytes."""
        self._delivery.is_sent = True
        await super().write_with_length(writer, content_length)


register_payload(TrackedPayload, TrackedBytes)


def _payload_of(body: Body | None, delivery: DeliveryState) -> StreamedPayload | TrackedBytes | None:
    if body is None:
        return None
    return TrackedBytes.of(body, delivery) if isinstance(body, BytesBody) else StreamedPayload(body, delivery)


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
        self._endless = _client_timeout(None, errors.timeout)
        self._credential = settings.credential
        self._reader = ResponseReader(settings)
        self._proxy_for = settings.proxy_for
        self._base_url = URL(settings.base_url)
        self._prefix = self._base_url.raw_path.rstrip("/")
        self._user_agent = settings.user_agent
        self._headers = {
            **dict(settings.headers),
            "Accept": "application/json",
            "User-Agent": settings.user_agent,
            settings.credential.header: settings.credential.value,
        }
        self._fast = (
            None
            if settings.proxy
            else FastExchange(self._base_url, self._headers, errors.timeout, self._reader, self._run_in_session)
        )
        options = {
            "headers": CIMultiDict(self._headers),
            # The key would be sent along to wherever a redirect points.
            "allow_redirects": False,
            **({"proxy": URL(settings.proxy)} if settings.proxy else {}),
        }
        self._options: dict[str, dict[str, Any]] = {
            method: options | pool.options(method) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        }

    def run(
        self, request: Request, number: int, seconds: float, delivery: DeliveryState
    ) -> Coroutine[Any, Any, Response]:
        """Send attempt `number` of a request and return its response, all within `seconds`.

        A kept-alive connection that the server had closed costs another send.

        Raises:
            aiohttp.ClientError: There was no response.
            TimeoutError: There was none in time.
        """
        if self._fast is not None and request.body is None and not (request.external_url or request.headers):
            wires = self._pool.wires()
            if wires is not None:
                return self._fast.run(wires, request, number, seconds, delivery)
        return self._run_in_session(request, number, seconds, delivery)

    async def _run_in_session(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
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
        again = request.is_repeatable
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # a user's session that is not visible, so there it is done once.
            again = not self._pool.is_user_session
            delivery.in_doubt |= delivery.is_sent
            delivery.is_sent = request.body is None
            delivery.resends += 1
            try:
                return await self._send(request, number, max(until - time.monotonic(), MIN_TIMEOUT_SECONDS), delivery)
            except CONNECTION_LOST_ERRORS as error:
                lost = error
        raise lost

    async def _send(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        self._pool.lend_connection()
        body = _payload_of(request.body, delivery)
        failure: RetabError | None = None
        try:
            if request.external_url:
                return await self._send_external(request, number, seconds, body)
            session = self._pool.session()
            if request.is_streamed:
                return await self._open(session, request, number, seconds, body)
            return await self._receive(session, request, number, seconds, body)
        except aiohttp.ClientError:
            failure = body.failure if isinstance(body, StreamedPayload) else None
            if failure is None:
                raise
        raise failure

    async def _receive(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        number: int,
        seconds: float,
        body: StreamedPayload | TrackedBytes | None,
    ) -> Response:
        # aiohttp's own timer cannot be extended while a large response arrives.
        timer = DownloadTimer(seconds)
        try:
            async with timer.timeout:
                response = await session.request(
                    request.method, self._url(request), timeout=self._endless, **self._request_kwargs(request, body)
                )
                return await self._read_body(response, request, number, timer)
        except TimeoutError:
            if timer.received is None:
                raise
            raise IncompleteResponseError(timer.received, timer.extension) from None

    async def _send_external(
        self, request: Request, number: int, seconds: float, body: StreamedPayload | TrackedBytes | None
    ) -> Response:
        # A proxy may well have a private address, and decides itself where it connects to.
        token = public_only.set(request.public_only and not self._proxy_for(request.external_url))
        try:
            with self._pool.external_session() as session:
                return await self._receive(session, request, number, seconds, body)
        finally:
            public_only.reset(token)

    async def _open(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        number: int,
        seconds: float,
        body: StreamedPayload | TrackedBytes | None,
    ) -> Response:
        timer = DownloadTimer(seconds)
        async with timer.timeout:
            response = await session.request(
                request.method, self._url(request), timeout=self._endless, **self._request_kwargs(request, body)
            )
            if not 200 <= response.status < 300:
                return await self._read_body(response, request, number, timer)
        lines = ResponseLines(response, Attempt(request, number), self._errors, self._slots, self._credential)
        return Response(request, response.status, response.headers, b"", number, self._credential.redact, lines)

    async def _read_body(
        self, response: aiohttp.ClientResponse, request: Request, number: int, timer: DownloadTimer
    ) -> Response:
        try:
            limit = self._reader.limit_of(request, response.status)
            content = await read_capped(response.content, response.content_length, limit, timer)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; otherwise it is of no use.
            if not response.closed:
                response.close()
        if len(content) <= MAX_INLINE_BYTES:
            return self._reader.to_response(request, response.status, response.headers, content, number)
        # All has arrived in time.
        timer.timeout.reschedule(None)
        return await self._reader.to_large_response(request, response.status, response.headers, content, number)

    def _url(self, request: Request) -> URL:
        if request.external_url:
            return URL(request.external_url, encoded=True)
        url = self._base_url.with_path(self._prefix + request.path, encoded=True)
        return URL(f"{url}?{request.query}", encoded=True) if request.query else url

    def _request_kwargs(self, request: Request, body: StreamedPayload | TrackedBytes | None) -> dict[str, Any]:
        # Never held by a frame that errors pass through: tools that collect locals would have the key.
        if request.external_url:
            return self._external_kwargs(request, body)
        if body is None and not request.headers:
            return self._options[request.method]
        headers = CIMultiDict({**self._headers, **dict(request.headers)})
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return {**self._options[request.method], "headers": headers, "data": body}

    def _external_kwargs(self, request: Request, body: StreamedPayload | TrackedBytes | None) -> dict[str, Any]:
        headers = CIMultiDict({"User-Agent": self._user_agent, **request.external_headers()})
        proxy = self._proxy_for(request.external_url)
        options = {**self._options[request.method], "headers": headers, "data": body, "proxy": proxy and URL(proxy)}
        # Those of the user's session are for the API alone.
        return options | ({"middlewares": ()} if self._pool.is_user_session else {})


def _client_timeout(seconds: float | None, connecting: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connecting, ceil_threshold=_NEVER_ROUND)
