"""Sending the cancels of a bulk job: one send, one probe, and whether to send again."""

import logging
import time
from math import inf
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from retab_async.api.run_api import RunApi
from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState, probe_timeout
from retab_async.bulk.id_source import CancelItem
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.results import Disposition, disposition_of_error
from retab_async.errors import APIError, HTTPResponseError, PermissionDeniedError, RequestError
from retab_async.models import Run
from retab_async.polling import Waiter
from retab_async.retry import RetryPolicy, backoff_delay, is_congestion, is_throttled, is_transient, log_retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RunT = TypeVar("RunT", bound=Run)

# Key invalid, account out of credits, proxy wants a login.
_CALLER_REFUSALS = frozenset({401, 402, 407})
# As many 403 in a row, before any success, are about the caller too.
_MAX_FORBIDDEN = 10

_logger = logging.getLogger("retab_async")


def is_caller_refusal(error: RequestError, *, forbidden: int) -> bool:
    """Tell whether an error is about the caller, so that every other item would be refused too.

    Args:
        error: The error.
        forbidden: Number of 403 in a row, this one included, before any success.
    """
    if not isinstance(error, APIError) or is_transient(error):
        return False
    return error.status_code in _CALLER_REFUSALS or (error.status_code == 403 and forbidden >= _MAX_FORBIDDEN)


class CancelTarget(NamedTuple, Generic[RunT]):
    """The runs of one kind: how they are cancelled and waited for."""

    kind: str
    api: RunApi[RunT]
    waiter: Waiter[RunT]


class CancelSender(Generic[RunT]):
    """Sends cancels over the bulk transport and reports each result to the circuit breaker.

    Attributes:
        cancels: By kind, what sends the cancel of a run once, in its turn; it raises `SendSuppressedError` if the
            circuit opened before the turn came, so that the cancel is unsent.
    """

    def __init__(self, targets: dict[str, CancelTarget[RunT]], options: CancelOptions, breaker: CircuitBreaker) -> None:
        self._targets = targets
        self._breaker = breaker
        self._transport = next(iter(targets.values())).api.transport
        self._policy = self._transport.policy
        self._last_success: CancelItem | None = None
        # Refused by the server, but with a response.
        self._last_refusal: CancelItem | None = None
        self._forbidden = 0
        transport = self._transport.for_bulk(
            options.concurrency,
            options.rate_limit,
            outage_timeout=options.outage_timeout,
            is_suspended=lambda: breaker.state is not CircuitState.CLOSED,
        )
        self.cancels: dict[str, Callable[[str], Awaitable[RunT]]] = {
            kind: target.api.with_transport(transport).cancel for kind, target in targets.items()
        }

    async def probe(self, item: CancelItem) -> RunT:
        """Send a cancel once, with the timeout of a probe."""
        seconds = probe_timeout(self._transport.last_latency)
        policy = RetryPolicy(attempts=1, deadline=seconds)
        transport = self._transport.with_timeout(timeout=seconds, policy=policy).for_bulk(1, outage_timeout=0.0)
        return await self._targets[item.kind].api.with_transport(transport).cancel(item.run_id)

    def repeat_of_success(self) -> CancelItem | None:
        """Return an item that repeats a cancel with a response, which the server will respond to again."""
        last = self._last_success or self._last_refusal
        return None if last is None else CancelItem(last.kind, last.run_id)

    def on_success(self, item: CancelItem) -> None:
        """Record a response."""
        item.attempts += 1
        self._last_success = item
        if self._breaker.is_suspect:
            self._breaker.on_success()

    def on_failure(self, item: CancelItem, error: RequestError, workers: int) -> None:
        """Record a failed send of one of `workers` workers."""
        breaker = self._breaker
        if item.error is not None:
            error.in_doubt |= getattr(item.error, "in_doubt", False)
        item.error = error
        item.attempts += error.attempts
        is_throttle_too_long = not error.attempts or (is_throttled(error) and breaker.state is not CircuitState.OPEN)
        error.attempts = item.attempts
        if is_throttle_too_long:
            # Longer than the outage timeout, for this and for all other items.
            breaker.give_up(error)
        elif is_transient(error):
            # While the server is unavailable a failure says nothing about the id.
            if breaker.state is not CircuitState.OPEN:
                if is_congestion(error):
                    item.congestions += 1
                else:
                    item.failures += 1
                item.deadline = item.deadline or time.monotonic() + self._policy.deadline
            breaker.on_failure(error, workers)
        elif isinstance(error, HTTPResponseError):
            self._last_refusal = item
            self._forbidden = self._forbidden + 1 if error.status_code == 403 else 0
            if breaker.is_suspect:
                breaker.on_success()

    def refuses_caller(self, error: RequestError) -> bool:
        """Tell whether an error is about the caller, so that every other id would be refused too."""
        return is_caller_refusal(error, forbidden=0 if self._last_success else self._forbidden)

    def disposition_of_error(self, error: Exception) -> Disposition:
        """Return the disposition of an id whose cancel failed with this error."""
        # Before the first success, a 403 may be about the caller.
        is_unclear = isinstance(error, PermissionDeniedError) and self._last_success is None
        return Disposition.UNCONFIRMED if is_unclear else disposition_of_error(error)

    def resend_delay(self, item: CancelItem, error: Exception) -> float | None:
        """Return the seconds after which to send a failed item again; None for never."""
        if not is_transient(error) or self._breaker.state is CircuitState.GIVEN_UP:
            return None
        if self._breaker.state is CircuitState.OPEN:
            log_retry(error, item.failures + 1, self._policy.attempts, inf)
            return 0.0
        delay = backoff_delay(self._policy, item.failures + item.congestions, error)
        if self.is_exhausted(item) or time.monotonic() + delay > item.deadline:
            return None
        if is_congestion(error):
            log_retry(error, item.attempts + 1, None, delay)
        else:
            log_retry(error, item.failures + 1, self._policy.attempts, delay)
        return delay

    def is_exhausted(self, item: CancelItem) -> bool:
        """Tell whether an item has failed as often as the retry policy allows; a busy server is not counted."""
        return item.failures >= self._policy.attempts
