"""Sends a `Request` over the pool, as often as it takes."""

import logging
import time
from datetime import UTC, datetime

import aiohttp

from retab_async.errors import APITimeoutError, CallError, ClientStateError, RetabError
from retab_async.protocol import Request, Response, Trail, api_error, response_error
from retab_async.retrying import SHORTEST_ATTEMPT, RetryPolicy, is_transient, try_again
from retab_async.settings import Settings
from retab_async.transport.exchange import SHORTEST_TIMEOUT, Exchange
from retab_async.transport.failures import connection_error, harmless
from retab_async.transport.pool import Pool

_logger = logging.getLogger("retab_async")


class Transport:
    """Sends requests over a pool for one client: its credential, its patience, its way there."""

    def __init__(self, pool: Pool, settings: Settings, policy: RetryPolicy) -> None:
        self._pool = pool
        self._settings = settings
        self._policy = policy
        self._usual_seconds = min(settings.timeout, policy.deadline)
        self._exchange = Exchange(pool, settings, self._usual_seconds)

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
        seconds = min(self._usual_seconds + request.extra, max(ends - began, SHORTEST_TIMEOUT))
        cause: BaseException | None = None
        try:
            response = await self._exchange.make(request, number, seconds, trail)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError | None = self._meaning(request, number, seconds, error)
            cause = harmless(error)
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
            await self._pool.places.wait(max(ends - time.monotonic() - SHORTEST_ATTEMPT, SHORTEST_TIMEOUT))
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise APITimeoutError(msg, method=request.method, url=request.path, attempts=number - 1) from None

    def _meaning(self, request: Request, number: int, seconds: float, error: Exception) -> RetabError:
        if self._pool.closed:
            return ClientStateError("this client was closed while a call was under way")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = min(seconds, self._usual_seconds)
        return connection_error(request, number, seconds, error)


def _refusal(response: Response) -> CallError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.cap:
        return response_error(response, f"the answer is larger than {response.request.cap} bytes")
    return None
