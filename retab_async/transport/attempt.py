"""One attempt of a call: connection slot, throttle turn, HTTP exchange, and what it means for both."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

import aiohttp
import attrs

from retab_async.errors import APITimeoutError, RequestError, RetabError
from retab_async.protocol import DeliveryState, Request, Response, api_error, too_large_error
from retab_async.retry import MIN_ATTEMPT_SECONDS, RetryPolicy, is_throttled, is_transient_status
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore, Permit, Priority, Throttle, TurnDeadlineError
from retab_async.transport.error_mapping import ErrorMapper, sanitized_cause
from retab_async.transport.exchange import MIN_TIMEOUT_SECONDS, Exchange
from retab_async.transport.session import ConnectionPool

_logger = logging.getLogger("retab_async")


@attrs.define(eq=False)
class Call:
    """One call, of one attempt or several.

    Attributes:
        request: What to send.
        deadline: When the call must be finished, in `time.monotonic()`.
        delivery: Records whether the request may have taken effect.
    """

    request: Request
    deadline: float
    delivery: DeliveryState


class AttemptRunner:
    """Attempt runner of one client: each attempt takes a connection slot and a turn of the throttle.

    Args:
        pool: The connections.
        settings: Credential, base URL, timeout and headers.
        policy: Its deadline bounds the timeout, and it may add transient statuses.
        throttle: Grants each turn and records each outcome.
        slots: Connection slots of its own instead of the pool's; its attempts then also pass the throttle's queue.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        slots: FifoSemaphore | None,
    ) -> None:
        timeout = min(settings.timeout, policy.deadline)
        self._retry_statuses = policy.retry_statuses
        self._max_response_bytes = settings.max_response_bytes
        self._pool = pool
        self._throttle = throttle
        self._is_urgent = slots is not None
        self._slots = slots = pool.slots if slots is None else slots
        self._timeout = timeout
        self._errors = ErrorMapper(pool, timeout)
        self._exchange = Exchange(pool, settings, self._errors, slots)

    def throttle_of(self, request: Request) -> Throttle:
        """Return the throttle that applies to a request."""
        return self._throttle.external if request.external_url else self._throttle

    async def run(  # noqa: C901 - success is handled inline, because another call would be measurable
        self,
        call: Call,
        number: int,
        permit: Permit | None = None,
        turn_deadline: Callable[[], float] | None = None,
    ) -> Response:
        """Make attempt `number` of a call.

        Args:
            call: The call.
            number: The number of this attempt, from 1.
            permit: The permit of a bulk job, marked as sent when the request leaves.
            turn_deadline: Returns when the throttle's turn must have come, in `time.monotonic()`; without, it is the
                call's deadline.

        Raises:
            APIError: The response is not a 2xx.
            APIConnectionError: There was no response.
            ResponseError: The response is larger than the request allows.
        """
        request, deadline, delivery = call.request, call.deadline, call.delivery
        is_cancel = request.is_cancel
        if not self._slots.try_acquire(is_urgent=is_cancel):
            await self._wait_for_slot(call, number)
        throttle = self._throttle.external if request.external_url else self._throttle
        cause: BaseException | None = None
        is_in_flight = is_open = False
        try:
            if not (throttle.is_unthrottled or throttle.try_pass()):
                latest = deadline if turn_deadline is None else min(deadline, turn_deadline())
                priority = self._priority(call, permit)
                await self._wait_for_turn(throttle, attrs.evolve(call, deadline=latest), number, priority)
            if permit is not None and permit.is_at_gate:
                permit.mark_sent()
            sent = throttle.on_sent()
            is_in_flight = True
            seconds, left = self._timeout + request.extra_seconds, deadline - sent
            if left < seconds:
                seconds = max(left, MIN_TIMEOUT_SECONDS)
            response = await self._exchange.run(request, number, seconds, delivery)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure: RetabError = self._connection_failed(call, number, seconds, error)
            cause = sanitized_cause(error)
        else:
            if 200 <= response.status < 300 and len(response.body) <= request.response_limit(self._max_response_bytes):
                delivery.is_sent = is_in_flight = False
                throttle.on_response(sent, is_success=True)
                if _logger.isEnabledFor(logging.DEBUG):
                    _log_response(response, throttle.clock() - sent)
                is_open = response.lines is not None
                return response
            failure = self._to_error(response)
            # Before it is recorded: a log handler may raise meanwhile.
            delivery.is_sent = is_in_flight = False
            self._record_failure(response, failure, throttle, sent, delivery)
        finally:
            # A response that is still arriving releases its slot when it is closed.
            if not is_open:
                self._slots.release(is_urgent=is_cancel)
            if is_in_flight:
                throttle.on_lost()
            if delivery.resends:
                _record_resends(call, number, throttle)
        raise failure from cause

    def _priority(self, call: Call, permit: Permit | None) -> Priority:
        if permit is not None:
            return Priority.BULK
        # Without a given limit there is no reserve.
        is_reserved = call.request.is_cancel and self.throttle_of(call.request).given is not None
        return Priority.URGENT if self._is_urgent or is_reserved else Priority.CALL

    async def _wait_for_turn(self, throttle: Throttle, call: Call, number: int, priority: Priority) -> None:
        # A forked process must not use the connection of its parent to the store of a shared limit.
        self._pool.session()
        try:
            await throttle.wait_turn(call.deadline - MIN_ATTEMPT_SECONDS, priority)
        except TurnDeadlineError:
            msg = "the API takes no more requests before the deadline"
            raise _deadline_error(msg, call, number) from None

    async def _wait_for_slot(self, call: Call, number: int) -> None:
        # A client that cannot send at all raises at once.
        self._pool.session()
        try:
            left = max(call.deadline - time.monotonic() - MIN_ATTEMPT_SECONDS, MIN_TIMEOUT_SECONDS)
            await self._slots.acquire(None if left == inf else left, is_urgent=call.request.is_cancel)
        except TimeoutError:
            msg = "no connection came free before the deadline"
            raise _deadline_error(msg, call, number) from None

    def _connection_failed(self, call: Call, number: int, seconds: float, error: Exception) -> RetabError:
        request, delivery = call.request, call.delivery
        delivery.in_doubt |= delivery.is_sent and not isinstance(error, aiohttp.ClientConnectorError)
        delivery.is_sent = False
        failure = self._errors.to_error(request, number, seconds, error)
        failure.in_doubt = delivery.in_doubt and request.method != "GET"
        _logger.debug("%s %s, attempt %d: %s", request.method, request.path, number, failure.args[0])
        return failure

    @staticmethod
    def _record_failure(
        response: Response, failure: RequestError, throttle: Throttle, sent: float, delivery: DeliveryState
    ) -> None:
        if is_throttled(failure):
            delivery.throttled += 1
            throttle.on_throttled(sent, failure.retry_after, is_rate_limited=failure.status_code == 429)
        else:
            throttle.on_response(sent, is_success=False)
        delivery.in_doubt |= failure.in_doubt
        failure.in_doubt = delivery.in_doubt and response.request.method != "GET"
        if _logger.isEnabledFor(logging.DEBUG):
            _log_response(response, throttle.clock() - sent, failure.message)

    def _to_error(self, response: Response) -> RequestError:
        if 200 <= response.status < 300:
            return too_large_error(response, response.request.response_limit(self._max_response_bytes))
        failure = api_error(response, datetime.now(UTC))
        failure.transient = is_transient_status(response.status, self._retry_statuses)
        return failure


def _log_response(response: Response, seconds: float, reason: str = "") -> None:
    request, outcome = response.request, f"{response.status} {reason}".rstrip()
    line = "%s %s, attempt %d: %s in %.1f ms"
    _logger.debug(line, request.method, request.path, response.attempts, outcome, seconds * 1000)


def _record_resends(call: Call, number: int, throttle: Throttle) -> None:
    request, delivery = call.request, call.delivery
    resends, delivery.resends = delivery.resends, 0
    throttle.resent += resends
    line = "%s %s, attempt %d: sent %d times more, uncounted: the server had closed a kept-alive connection"
    _logger.debug(line, request.method, request.path, number, resends)


def _deadline_error(message: str, call: Call, number: int) -> APITimeoutError:
    # Not transient: there is no time for another attempt.
    return APITimeoutError(
        message,
        method=call.request.method,
        url=call.request.path,
        attempts=number - 1,
        in_doubt=call.delivery.in_doubt and call.request.method != "GET",
        idempotency_key=call.request.idempotency_key,
        transient=False,
    )
