"""Sends a `Request` over the pool."""

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import APIConnectionError, APITimeoutError, CallError, ClientStateError, RetabError
from retab_async.protocol import ERROR_CAP, Request, Response, api_error, response_error
from retab_async.retrying import SHORTEST_ATTEMPT, RetryPolicy, is_transient, try_again
from retab_async.settings import Settings
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

    def ends(self) -> float:
        """Return when a call that begins now must be over, in `time.monotonic()`."""
        return time.monotonic() + self._policy.deadline

    async def send(self, request: Request, ends: float) -> Response:
        """Send a request until it is answered with a 2xx, as often as the policy allows and until `ends`.

        Raises `APIError` for any other answer, `APIConnectionError` for none, `ResponseError` for one over its cap.
        """
        try:
            return await self._attempt(request, 1, ends)
        except CallError as error:
            if not is_transient(error):
                raise
            failure = error
        return await try_again(self._policy, ends, failure, lambda number: self._attempt(request, number, ends))

    async def _attempt(self, request: Request, number: int, ends: float) -> Response:
        if not self._pool.places.take():
            await self._wait_for_place(request, number, ends)
        began = time.monotonic()
        seconds = min(self._usual_seconds, max(ends - began, _SHORTEST_TIMEOUT))
        opened: list[socket] = []
        opened_sockets.set(opened)
        lost: Exception | None = None
        cause: BaseException | None = None
        try:
            try:
                response = await self._exchange(request, number, seconds)
            except LOST as error:
                lost = error
            if lost is not None:
                response = await self._resend(request, number, began + seconds, lost)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError | None = self._connection_error(request, number, seconds, error)
            cause = _harmless(error)
        else:
            failure = _refusal(response)
        finally:
            self._pool.places.give_back()
        if _logger.isEnabledFor(logging.DEBUG):
            outcome = response.status if failure is None else failure.args[0]
            took = (time.monotonic() - began) * 1000
            _logger.debug("%s %s, attempt %d: %s in %.1f ms", request.method, request.path, number, outcome, took)
        if failure is None:
            return response
        raise failure from cause

    async def _wait_for_place(self, request: Request, number: int, ends: float) -> None:
        # A client that cannot send at all says so at once.
        self._pool.session()
        try:
            await self._pool.places.wait(max(ends - time.monotonic() - SHORTEST_ATTEMPT, _SHORTEST_TIMEOUT))
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise APITimeoutError(msg, method=request.method, url=request.path, attempts=number - 1) from None

    async def _resend(self, request: Request, number: int, until: float, lost: Exception) -> Response:
        again = True
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # someone else's session that cannot be told, so there it is done once.
            again = not self._pool.is_foreign
            try:
                return await self._exchange(request, number, max(until - time.monotonic(), _SHORTEST_TIMEOUT))
            except LOST as error:
                lost = error
        raise lost

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
            return ClientStateError("this client was closed while a call was under way")
        told: dict[str, Any] = {"method": request.method, "url": request.path, "attempts": number}
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
    # What may stand behind an error of ours without quoting a key, a password or an answer.
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return None if isinstance(error, _QUOTING) else error


def _refusal(response: Response) -> CallError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.cap:
        return response_error(response, f"the answer is larger than {response.request.cap} bytes")
    return None


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, ceil_threshold=_NEVER_ROUND)
