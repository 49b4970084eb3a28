"""Sends a `Request` over the pooled session; the only room that knows aiohttp's client."""

import asyncio
import logging
import time
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from socket import socket
from ssl import SSLContext
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import (
    APIConnectionError,
    APITimeoutError,
    CallError,
    ClientStateError,
    ConfigurationError,
    RetabError,
)
from retab_async.protocol import ERROR_CAP, Request, Response, api_error, response_error
from retab_async.retrying import RetryPolicy, is_transient, try_again
from retab_async.settings import Settings, check_count

_logger = logging.getLogger("retab_async")

# The sockets that were opened for the attempt under way in this task: none means that it went out on a used one.
_opened: ContextVar[list[socket]] = ContextVar("retab_async_opened")

# aiohttp rounds timeouts above its threshold up to the whole second.
_NEVER_ROUND = 1e9

# No attempt is given less, in seconds: aiohttp takes 0 for no timeout at all.
_SHORTEST_TIMEOUT = 0.001

# From what aiohttp raises to what it means and whether another try can help; the first that fits. The words are our
# own: aiohttp's may quote headers.
_MEANINGS: tuple[tuple[type[Exception], str, bool], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the server's certificate is not trusted", False),
    (aiohttp.ServerFingerprintMismatch, "the server's certificate is not the expected one", False),
    (aiohttp.ClientConnectorDNSError, "the host's name could not be resolved", True),
    (aiohttp.ClientProxyConnectionError, "the proxy could not be reached", True),
    (aiohttp.ClientConnectorError, "no connection to the host", True),
    (aiohttp.ClientHttpProxyError, "the proxy refused to connect to the host", False),
    (aiohttp.ClientResponseError, "the answer is not HTTP", False),
    (aiohttp.ClientPayloadError, "the answer was cut short or garbled", True),
    (aiohttp.ClientConnectionError, "the connection was lost before the answer", True),
    (aiohttp.ClientError, "the request could not be sent", False),
)


class _LostError(aiohttp.ClientConnectionError):
    """A connection that broke, in a form that aiohttp does not act upon."""


_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError, _LostError)

# Their texts hold the request's headers, or the head of the answer as far as it was read.
_QUOTING = (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError, _LostError)

_CLOSED_UNDER_WAY = "this client was closed while a call was under way"


class Pool:
    """The connections of a client and its copies: one aiohttp session, opened on first use in the running loop."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None,
        max_connections: int,
        ssl: SSLContext | bool,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self.closed = False
        self._session = session
        self._foreign = session is not None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._max_connections = check_count("max_connections", max_connections)
        self._ssl = ssl
        self._trace_configs = list(trace_configs)
        if session is not None and (ssl is not True or trace_configs):
            msg = "ssl and trace_configs belong to the session that you pass: set them there"
            raise ConfigurationError(msg)

    def __del__(self) -> None:
        if self._session is not None and not self._foreign and not self.closed:
            message = "an AsyncRetab was never closed: use `async with`, or `await client.aclose()`"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)

    def session(self) -> aiohttp.ClientSession:
        """Return the session, opening it if need be; raises `ClientStateError` where that cannot work."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self.closed:
            self._settle_in(loop)
        session = self._session
        if session is None or session.closed:
            msg = "the aiohttp session that this client was given is closed"
            raise ClientStateError(msg)
        return session

    def options(self, method: str) -> dict[str, Any]:
        """Return what this session must be told with each request of a method, to do what the transport expects."""
        if self._foreign:
            return {"raise_for_status": False, "auto_decompress": True}
        # aiohttp resends a GET whose connection broke, be it new or used. One attempt is to be one send. (Someone
        # else's session keeps its own middlewares, and so that habit.)
        return {"middlewares": (_send_once,)} if method == "GET" else {}

    async def aclose(self) -> None:
        """Close the session, unless it is someone else's; once or more often."""
        self.closed = True
        if self._session is not None and not self._foreign:
            await self._session.close()

    def _settle_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.closed:
            msg = "this client is closed: make a new AsyncRetab, or keep its calls inside the `async with`"
            raise ClientStateError(msg)
        if self._loop is not None:
            msg = "this client was opened in another event loop: make one AsyncRetab inside each asyncio.run()"
            raise ClientStateError(msg)
        self._loop = loop
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections, ssl=self._ssl, socket_factory=_open_socket, ttl_dns_cache=60
                ),
                # A service that is called with a key needs no cookies, and cookies would tie the calls together.
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self._trace_configs,
            )


class Transport:
    """Sends requests over a pool for one client: its credential, its patience, its way there."""

    def __init__(self, pool: Pool, settings: Settings, policy: RetryPolicy) -> None:
        self._pool = pool
        self._policy = policy
        self._usual_seconds = min(settings.timeout, policy.deadline)
        self._usual_timeout = _timeout(self._usual_seconds)
        self._redact = settings.credential.redact
        self._address = URL(settings.base_url)
        self._prefix = self._address.raw_path.rstrip("/")
        headers = {
            "Accept": "application/json",
            "User-Agent": settings.user_agent,
            settings.credential.header: settings.credential.value,
        }
        options = {
            "headers": CIMultiDict(headers),
            # The key would be sent along to wherever a redirect points.
            "allow_redirects": False,
            **({"proxy": URL(settings.proxy)} if settings.proxy else {}),
        }
        self._options: dict[str, dict[str, Any]] = {
            method: options | pool.options(method) for method in ("GET", "POST")
        }

    async def send(self, request: Request) -> Response:
        """Send a request until it is answered with a 2xx, as often and as long as the policy allows.

        Raises `APIError` for any other answer, `APIConnectionError` for none, `ResponseError` for one over its cap.
        """
        ends = time.monotonic() + self._policy.deadline
        try:
            return await self._attempt(request, 1, self._policy.deadline)
        except CallError as error:
            if not is_transient(error):
                raise
            failure = error
        return await try_again(self._policy, ends, failure, partial(self._attempt, request))

    async def _attempt(self, request: Request, number: int, left: float) -> Response:
        began = time.monotonic()
        seconds = min(self._usual_seconds, left)
        opened: list[socket] = []
        _opened.set(opened)
        cause: Exception | None = None
        try:
            lost = False
            try:
                response = await self._exchange(request, number, seconds)
            except _LOST as error:
                lost = not opened and not isinstance(error, aiohttp.ClientConnectorError)
                if not lost:
                    raise
            if lost:
                # The server had closed this kept-alive socket before it read anything: send once more, uncounted.
                rest = max(began + seconds - time.monotonic(), _SHORTEST_TIMEOUT)
                response = await self._exchange(request, number, rest)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError | None = self._connection_error(request, number, seconds, error)
            cause = None if isinstance(error, _QUOTING) else error
        except asyncio.CancelledError:
            # Closing a session cancels what waits in it for a free connection, though nobody has cancelled the task.
            task = asyncio.current_task()
            if not self._pool.closed or task is None or task.cancelling():
                raise
            failure = ClientStateError(_CLOSED_UNDER_WAY)
        else:
            failure = _refusal(response)
        if _logger.isEnabledFor(logging.DEBUG):
            outcome = response.status if failure is None else failure.args[0]
            took = (time.monotonic() - began) * 1000
            _logger.debug("%s %s, attempt %d: %s in %.1f ms", request.method, request.path, number, outcome, took)
        if failure is None:
            return response
        raise failure from cause

    async def _exchange(self, request: Request, number: int, seconds: float) -> Response:
        url = self._address.with_path(self._prefix + request.path, encoded=True)
        if request.query:
            url = url.with_query(request.query)
        timeout = self._usual_timeout if seconds == self._usual_seconds else _timeout(seconds)
        session = self._pool.session()
        answer = await session.request(request.method, url, timeout=timeout, **self._options[request.method])
        try:
            cap = request.cap if 200 <= answer.status < 300 else ERROR_CAP
            body = await answer.content.read(cap + 1)
            if len(body) <= cap and not answer.content.at_eof():
                body = await _read_on(answer, body, cap)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; any other one is of no use.
            if not answer.closed:
                answer.close()
        return Response(request, answer.status, answer.headers, body, number, self._redact)

    def _connection_error(
        self, request: Request, number: int, seconds: float, error: Exception
    ) -> APIConnectionError | ClientStateError:
        if self._pool.closed:
            return ClientStateError(_CLOSED_UNDER_WAY)
        told: dict[str, Any] = {"method": request.method, "url": request.path, "attempts": number}
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"no answer within {seconds:g} s", **told)
        meaning, transient = next((words, again) for kind, words, again in _MEANINGS if isinstance(error, kind))
        if isinstance(error, aiohttp.ClientConnectorError):
            meaning = f"{meaning}: {error.host}:{error.port}, {error.os_error.strerror or error.os_error}"
        return APIConnectionError(meaning, transient=transient, **told)


async def _read_on(answer: aiohttp.ClientResponse, start: bytes, cap: int) -> bytes:
    # In pieces, and no further than one byte past the cap: a few kilobytes of gzip can stand for gigabytes.
    body = bytearray(start)
    while len(body) <= cap and (piece := await answer.content.read(cap + 1 - len(body))):
        body += piece
    return bytes(body)


def _refusal(response: Response) -> CallError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.cap:
        return response_error(response, f"the answer is larger than {response.request.cap} bytes")
    return None


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, ceil_threshold=_NEVER_ROUND)


def _open_socket(address: aiohttp.AddrInfoType) -> socket:
    family, kind, protocol, _, _ = address
    opened = socket(family, kind, protocol)
    _opened.get().append(opened)
    return opened


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except _LOST as error:
        raise _LostError from error
