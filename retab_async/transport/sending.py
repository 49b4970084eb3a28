"""Sends a `Request` over the pool."""

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import APIConnectionError, APITimeoutError, CallError, ClientStateError, RetabError
from retab_async.protocol import ERROR_CAP, Request, Response, Trail, api_error, response_error
from retab_async.retrying import SHORTEST_ATTEMPT, RetryPolicy, is_transient, try_again
from retab_async.settings import Settings
from retab_async.transport.payload import Streamed
from retab_async.transport.pool import LOST, LostError, Pool, opened_sockets

if TYPE_CHECKING:
    from socket import socket

_logger = logging.getLogger("retab_async")

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
    (aiohttp.ClientResponseError, "the answer is not HTTP, or garbled", True),
    (aiohttp.ClientPayloadError, "the answer was cut short or garbled", True),
    (aiohttp.ClientConnectionError, "the connection was lost before the answer", True),
    (aiohttp.ClientError, "the request could not be sent", False),
)


# Their texts hold the request's headers, or the head of the answer as far as it was read.
_QUOTING = (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError, LostError)


class Transport:
    """Sends requests over a pool for one client: its credential, its patience, its way there."""

    def __init__(self, pool: Pool, settings: Settings, policy: RetryPolicy) -> None:
        self._pool = pool
        self._settings = settings
        self._policy = policy
        self._usual_seconds = min(settings.timeout, policy.deadline)
        self._usual_timeout = _timeout(self._usual_seconds)
        self._redact = settings.credential.redact
        self._address = URL(settings.base_url)
        self._prefix = self._address.raw_path.rstrip("/")
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

    @property
    def address(self) -> str:
        """The base URL of the API, without a slash at its end."""
        return self._settings.base_url

    def hastened(self, *, timeout: float, policy: RetryPolicy) -> "Transport":
        """Return one on the same pool and with the same credential that gives up sooner."""
        settings = self._settings._replace(timeout=min(timeout, self._settings.timeout))
        return Transport(self._pool, settings, policy)

    def ends(self, extra: float = 0.0) -> float:
        """Return when a call that begins now must be over, in `time.monotonic()`; `extra` as in `Request`."""
        return time.monotonic() + self._policy.deadline + extra

    async def send(self, request: Request, ends: float, trail: Trail | None = None) -> Response:
        """Send a request until it is answered with a 2xx, as often as the policy allows and until `ends`.

        `trail` tells, also where this is cancelled, whether the request may have taken effect.

        Raises `APIError` for any other answer, `APIConnectionError` for none, `ResponseError` for one over its cap.
        """
        trail = trail or Trail()
        try:
            return await self._attempt(request, 1, ends, trail)
        except CallError as error:
            if not is_transient(error):
                raise
            failure = error
        return await try_again(self._policy, ends, failure, lambda number: self._attempt(request, number, ends, trail))

    async def _attempt(self, request: Request, number: int, ends: float, trail: Trail) -> Response:
        if not self._pool.places.take():
            await self._wait_for_place(request, number, ends)
        began = time.monotonic()
        seconds = min(self._usual_seconds + request.extra, max(ends - began, _SHORTEST_TIMEOUT))
        opened: list[socket] = []
        opened_sockets.set(opened)
        cause: BaseException | None = None
        # What carries no body is gone as soon as it is on the socket; a body says when it is.
        trail.under_way = request.body is None
        try:
            response = await self._exchange_or_resend(request, number, seconds, trail)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError | None = self._connection_error(request, number, seconds, error)
            cause = _harmless(error)
            trail.in_doubt |= trail.under_way and not isinstance(error, aiohttp.ClientConnectorError)
        else:
            failure = _refusal(response)
        finally:
            self._pool.places.give_back()
        trail.under_way = False
        if _logger.isEnabledFor(logging.DEBUG):
            outcome = response.status if failure is None else failure.args[0]
            took = (time.monotonic() - began) * 1000
            _logger.debug("%s %s, attempt %d: %s in %.1f ms", request.method, request.path, number, outcome, took)
        if failure is None:
            return response
        if isinstance(failure, CallError):
            trail.in_doubt |= failure.in_doubt
            failure.in_doubt = trail.in_doubt and request.method != "GET"
        raise failure from cause

    async def _wait_for_place(self, request: Request, number: int, ends: float) -> None:
        # A client that cannot send at all says so at once.
        self._pool.session()
        try:
            await self._pool.places.wait(max(ends - time.monotonic() - SHORTEST_ATTEMPT, _SHORTEST_TIMEOUT))
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise APITimeoutError(msg, method=request.method, url=request.path, attempts=number - 1) from None

    async def _exchange_or_resend(self, request: Request, number: int, seconds: float, trail: Trail) -> Response:
        until = time.monotonic() + seconds
        try:
            return await self._exchange(request, number, seconds, trail)
        except LOST as error:
            lost = error
        return await self._resend(request, number, until, lost, trail)

    async def _resend(self, request: Request, number: int, until: float, lost: Exception, trail: Trail) -> Response:
        again = True
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # someone else's session that cannot be told, so there it is done once.
            again = not self._pool.is_foreign
            trail.in_doubt |= trail.under_way
            trail.under_way = request.body is None
            try:
                return await self._exchange(request, number, max(until - time.monotonic(), _SHORTEST_TIMEOUT), trail)
            except LOST as error:
                lost = error
        raise lost

    async def _exchange(self, request: Request, number: int, seconds: float, trail: Trail) -> Response:
        session = self._pool.session()
        timeout = self._usual_timeout if seconds == self._usual_seconds else self._timeout(seconds)
        body = None if request.body is None else Streamed(request.body, trail)
        failure: RetabError | None = None
        try:
            answer = await session.request(
                request.method, self._url(request), timeout=timeout, **self._told_with(request, body)
            )
        except aiohttp.ClientError:
            failure = body.failure if body is not None else None
            if failure is None:
                raise
        if failure is not None:
            raise failure
        try:
            cap = request.cap if 200 <= answer.status < 300 else ERROR_CAP
            content = await answer.content.read(cap + 1)
            if len(content) <= cap and not answer.content.at_eof():
                content = await _read_on(answer, content, cap)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; any other one is of no use.
            if not answer.closed:
                answer.close()
        return Response(request, answer.status, answer.headers, content, number, self._redact)

    def _url(self, request: Request) -> URL:
        if request.elsewhere:
            return URL(request.elsewhere, encoded=True)
        url = self._address.with_path(self._prefix + request.path, encoded=True)
        return URL(f"{url}?{request.query}", encoded=True) if request.query else url

    def _told_with(self, request: Request, body: Streamed | None) -> dict[str, Any]:
        # Never to be held by a frame that errors pass through: whoever collects locals would have the key.
        if body is None:
            return self._options[request.method]
        told = {"User-Agent": self._settings.user_agent} if request.elsewhere else self._headers
        headers = CIMultiDict({**told, **dict(request.headers)})
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return {**self._options[request.method], "headers": headers, "data": body}

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        # What may take long to be answered is to connect as quickly as everything else.
        return _timeout(seconds, min(seconds, self._usual_seconds))

    def _connection_error(
        self, request: Request, number: int, seconds: float, error: Exception
    ) -> APIConnectionError | ClientStateError:
        if self._pool.closed:
            return ClientStateError("this client was closed while a call was under way")
        told: dict[str, Any] = {
            "method": request.method,
            "url": request.path,
            "attempts": number,
            "idempotency_key": request.idempotency_key,
        }
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = min(seconds, self._usual_seconds)
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"no answer within {round(seconds, 2):g} s", **told)
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


def _harmless(error: Exception) -> BaseException | None:
    # What may stand behind an error of ours without quoting a key, a password or an answer: by itself, for the frames
    # that it has passed through hold all of them, aiohttp's above all.
    if isinstance(error, _QUOTING):
        return None
    shown = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    shown.__cause__ = shown.__context__ = None
    return shown.with_traceback(None)


def _refusal(response: Response) -> CallError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.cap:
        return response_error(response, f"the answer is larger than {response.request.cap} bytes")
    return None


def _timeout(seconds: float, connecting: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connecting, ceil_threshold=_NEVER_ROUND)
