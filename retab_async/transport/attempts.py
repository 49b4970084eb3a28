"""One attempt: a place on the pool, a turn in the pace, one exchange, and what came of it."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

import aiohttp

from retab_async.errors import APITimeoutError, CallError, ClientStateError, RetabError
from retab_async.pacing import Pace, Passage, Places, TooLateError
from retab_async.protocol import Request, Response, Trail, api_error, response_error
from retab_async.retrying import SHORTEST_ATTEMPT, asks_for_less
from retab_async.settings import Settings
from retab_async.transport.exchange import SHORTEST_TIMEOUT, Exchange
from retab_async.transport.failures import connection_error, harmless
from retab_async.transport.pool import Pool

_logger = logging.getLogger("retab_async")


class Attempts:
    """Makes attempts over a pool for one client, each in one of its places, and tells its pace what came of them.

    With `places` of its own, in place of the pool's, it does not stand behind others for its turn either.
    """

    def __init__(self, pool: Pool, settings: Settings, usual_seconds: float, pace: Pace, places: Places | None) -> None:
        self._pool = pool
        self._pace = pace
        self._is_urgent = places is not None
        self._places = places = places or pool.places
        self._usual_seconds = usual_seconds
        self._exchange = Exchange(pool, settings, usual_seconds, self._broken, places.give_back)

    def pace_of(self, request: Request) -> Pace:
        """Return the pace that a request is sent in."""
        return self._pace.elsewhere if request.elsewhere else self._pace

    async def make(  # noqa: PLR0913, PLR0917 - what an attempt is made of
        self,
        request: Request,
        number: int,
        ends: float,
        trail: Trail,
        passage: Passage | None = None,
        latest: Callable[[], float] | None = None,
    ) -> Response:
        """Make attempt `number` of a request, over at `ends`; its `passage` sets out as it leaves.

        A turn in the pace that comes only after the `latest` moment is not waited for.

        Raises `APIError` for an answer that is not a 2xx, `APIConnectionError` for none, `ResponseError` for one over
        its cap.
        """
        if not self._places.take():
            await self._wait_for_place(request, number, ends, trail)
        pace = self.pace_of(request)
        sent: float | None = None
        cause: BaseException | None = None
        is_open = False
        try:
            if not (pace.is_free or pace.turns.passes()):
                turn_ends = ends if latest is None else min(ends, latest())
                await self._wait_for_turn(pace, request, number, turn_ends, trail)
            if passage is not None and passage.is_at_gate:
                passage.set_out()
            sent = pace.went()
            seconds, left = self._usual_seconds + request.extra, ends - sent
            if left < seconds:
                seconds = max(left, SHORTEST_TIMEOUT)
            response = await self._exchange.make(request, number, seconds, trail)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError = self._unanswered(request, number, seconds, error, trail)
            cause = harmless(error)
        else:
            refusal = _judge(response, pace, sent, trail)
            if refusal is None:
                is_open = response.lines is not None
                return response
            failure = refusal
        finally:
            # An answer that is still coming gives its place back when it is closed.
            if not is_open:
                self._places.give_back()
            pace.came_back(sent)
        raise failure from cause

    async def _wait_for_turn(self, pace: Pace, request: Request, number: int, ends: float, trail: Trail) -> None:
        try:
            await pace.turns.stand(ends - SHORTEST_ATTEMPT, is_urgent=self._is_urgent)
        except TooLateError:
            msg = "the API takes no more requests before the deadline"
            raise _too_late(msg, request, number, trail) from None

    async def _wait_for_place(self, request: Request, number: int, ends: float, trail: Trail) -> None:
        # A client that cannot send at all says so at once.
        self._pool.session()
        try:
            left = max(ends - time.monotonic() - SHORTEST_ATTEMPT, SHORTEST_TIMEOUT)
            await self._places.wait(None if left == inf else left)
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise _too_late(msg, request, number, trail) from None

    def _unanswered(self, request: Request, number: int, seconds: float, error: Exception, trail: Trail) -> RetabError:
        trail.in_doubt |= trail.under_way and not isinstance(error, aiohttp.ClientConnectorError)
        trail.under_way = False
        failure = self._broken(request, number, seconds, error)
        failure.in_doubt = trail.in_doubt and request.method != "GET"
        _logger.debug("%s %s, attempt %d: %s", request.method, request.path, number, failure.args[0])
        return failure

    def _broken(self, request: Request, number: int, seconds: float, error: Exception) -> RetabError:
        if self._pool.closed:
            return ClientStateError("this client was closed while a call was under way")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = min(seconds, self._usual_seconds)
        return connection_error(request, number, seconds, error)


def _judge(response: Response, pace: Pace, sent: float, trail: Trail) -> CallError | None:
    request = response.request
    trail.under_way = False
    failure = _refusal(response)
    if failure is None:
        pace.got_through(sent, is_success=True)
    else:
        if asks_for_less(failure):
            pace.refused(sent, failure.retry_after, is_for_pace=failure.status_code == 429)
        else:
            pace.got_through(sent, is_success=False)
        trail.in_doubt |= failure.in_doubt
        failure.in_doubt = trail.in_doubt and request.method != "GET"
    if _logger.isEnabledFor(logging.DEBUG):
        outcome = response.status if failure is None else failure.message
        took = (pace.clock() - sent) * 1000
        line = "%s %s, attempt %d: %s in %.1f ms"
        _logger.debug(line, request.method, request.path, response.attempts, outcome, took)
    return failure


def _too_late(message: str, request: Request, number: int, trail: Trail) -> APITimeoutError:
    # Not transient: there is no time for another attempt.
    return APITimeoutError(
        message,
        method=request.method,
        url=request.path,
        attempts=number - 1,
        in_doubt=trail.in_doubt and request.method != "GET",
        idempotency_key=request.idempotency_key,
        transient=False,
    )


def _refusal(response: Response) -> CallError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.cap:
        return response_error(response, f"the answer is larger than {response.request.cap} bytes")
    return None
