"""One attempt: a place on the pool, a turn in the pace, one exchange, and what came of it."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

import aiohttp

from retab_async.errors import APITimeoutError, ClientStateError, RequestError, RetabError
from retab_async.protocol import DeliveryState, Request, Response, api_error, response_error
from retab_async.retry import MIN_ATTEMPT_SECONDS, is_throttled
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore, Permit, Throttle, TurnDeadlineError
from retab_async.transport.error_mapping import connection_error, sanitized_cause
from retab_async.transport.exchange import MIN_TIMEOUT_SECONDS, Exchange
from retab_async.transport.session import ConnectionPool

_logger = logging.getLogger("retab_async")


class AttemptRunner:
    """Makes attempts over a pool for one client, each in one of its places, and tells its pace what came of them.

    With `places` of its own, in place of the pool's, it does not stand behind others for its turn either.
    """

    def __init__(
        self, pool: ConnectionPool, settings: Settings, timeout: float, throttle: Throttle, slots: FifoSemaphore | None
    ) -> None:
        self._pool = pool
        self._throttle = throttle
        self._is_urgent = slots is not None
        self._slots = slots = slots or pool.slots
        self._timeout = timeout
        self._exchange = Exchange(pool, settings, timeout, self._to_error, slots.release)

    def throttle_of(self, request: Request) -> Throttle:
        """Return the pace that a request is sent in."""
        return self._throttle.external if request.external_url else self._throttle

    async def run(  # noqa: PLR0913, PLR0917 - what an attempt is made of
        self,
        request: Request,
        number: int,
        deadline: float,
        delivery: DeliveryState,
        permit: Permit | None = None,
        latest_turn: Callable[[], float] | None = None,
    ) -> Response:
        """Make attempt `number` of a request, over at `ends`; its `passage` sets out as it leaves.

        A turn in the pace that comes only after the `latest` moment is not waited for.

        Raises `APIError` for an answer that is not a 2xx, `APIConnectionError` for none, `ResponseError` for one over
        its cap.
        """
        if not self._slots.try_acquire():
            await self._wait_for_slot(request, number, deadline, delivery)
        throttle = self.throttle_of(request)
        sent: float | None = None
        cause: BaseException | None = None
        is_open = False
        try:
            if not (throttle.is_unthrottled or throttle.queue.try_pass()):
                turn_ends = deadline if latest_turn is None else min(deadline, latest_turn())
                await self._wait_for_turn(throttle, request, number, turn_ends, delivery)
            if permit is not None and permit.is_at_gate:
                permit.mark_sent()
            sent = throttle.on_sent()
            seconds, left = self._timeout + request.extra_seconds, deadline - sent
            if left < seconds:
                seconds = max(left, MIN_TIMEOUT_SECONDS)
            response = await self._exchange.run(request, number, seconds, delivery)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError = self._connection_failed(request, number, seconds, error, delivery)
            cause = sanitized_cause(error)
        else:
            failure_response = _record(response, throttle, sent, delivery)
            if failure_response is None:
                is_open = response.lines is not None
                return response
            failure = failure_response
        finally:
            # An answer that is still coming gives its place back when it is closed.
            if not is_open:
                self._slots.release()
            throttle.on_done(sent)
        raise failure from cause

    async def _wait_for_turn(
        self, throttle: Throttle, request: Request, number: int, deadline: float, delivery: DeliveryState
    ) -> None:
        try:
            await throttle.queue.wait_turn(deadline - MIN_ATTEMPT_SECONDS, is_urgent=self._is_urgent)
        except TurnDeadlineError:
            msg = "the API takes no more requests before the deadline"
            raise _deadline_error(msg, request, number, delivery) from None

    async def _wait_for_slot(self, request: Request, number: int, deadline: float, delivery: DeliveryState) -> None:
        # A client that cannot send at all says so at once.
        self._pool.session()
        try:
            left = max(deadline - time.monotonic() - MIN_ATTEMPT_SECONDS, MIN_TIMEOUT_SECONDS)
            await self._slots.acquire(None if left == inf else left)
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise _deadline_error(msg, request, number, delivery) from None

    def _connection_failed(
        self, request: Request, number: int, seconds: float, error: Exception, delivery: DeliveryState
    ) -> RetabError:
        delivery.in_doubt |= delivery.is_sent and not isinstance(error, aiohttp.ClientConnectorError)
        delivery.is_sent = False
        failure = self._to_error(request, number, seconds, error)
        failure.in_doubt = delivery.in_doubt and request.method != "GET"
        _logger.debug("%s %s, attempt %d: %s", request.method, request.path, number, failure.args[0])
        return failure

    def _to_error(self, request: Request, number: int, seconds: float, error: Exception) -> RetabError:
        if self._pool.closed:
            return ClientStateError("this client was closed while a call was under way")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = min(seconds, self._timeout)
        return connection_error(request, number, seconds, error)


def _record(response: Response, throttle: Throttle, sent: float, delivery: DeliveryState) -> RequestError | None:
    request = response.request
    delivery.is_sent = False
    failure = _response_failure(response)
    if failure is None:
        throttle.on_response(sent, is_success=True)
    else:
        if is_throttled(failure):
            throttle.on_throttled(sent, failure.retry_after, is_rate_limited=failure.status_code == 429)
        else:
            throttle.on_response(sent, is_success=False)
        delivery.in_doubt |= failure.in_doubt
        failure.in_doubt = delivery.in_doubt and request.method != "GET"
    if _logger.isEnabledFor(logging.DEBUG):
        outcome = response.status if failure is None else failure.message
        took = (throttle.clock() - sent) * 1000
        line = "%s %s, attempt %d: %s in %.1f ms"
        _logger.debug(line, request.method, request.path, response.attempts, outcome, took)
    return failure


def _deadline_error(message: str, request: Request, number: int, delivery: DeliveryState) -> APITimeoutError:
    # Not transient: there is no time for another attempt.
    return APITimeoutError(
        message,
        method=request.method,
        url=request.path,
        attempts=number - 1,
        in_doubt=delivery.in_doubt and request.method != "GET",
        idempotency_key=request.idempotency_key,
        transient=False,
    )


def _response_failure(response: Response) -> RequestError | None:
    if not 200 <= response.status < 300:
        return api_error(response, datetime.now(UTC))
    if len(response.body) > response.request.max_response_bytes:
        return response_error(response, f"the answer is larger than {response.request.max_response_bytes} bytes")
    return None
