"""When to try again and how long to wait; the only room that knows tenacity."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, TypeVar

import attrs

from retab_async.errors import APIConnectionError, APIError, ConflictError, RequestError
from retab_async.settings import check_count, check_seconds

if TYPE_CHECKING:
    from tenacity import RetryCallState


T = TypeVar("T")

_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# No attempt is begun that has less than this left of the deadline, in seconds.
MIN_ATTEMPT_SECONDS = 0.01

_logger = logging.getLogger("retab_async")


def _check_attempts(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    check_count(attribute.name, value)


def _check_seconds(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    check_seconds(attribute.name, value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How a call is tried again after a transient failure.

    `attempts`: how many at the most; a resend because the server had closed a kept-alive connection is none.
    `wait_initial`, `wait_max`: seconds; the n-th wait is drawn between 0 and
    `wait_initial * 2**(n-1)`, at most `wait_max`; a `Retry-After` of the server is waited for in full. `deadline`:
    seconds for all attempts and waits together. Raises `ConfigurationError` for values that are not above zero.
    """

    attempts: int = attrs.field(default=4, validator=_check_attempts)
    wait_initial: float = attrs.field(default=0.25, validator=_check_seconds)
    wait_max: float = attrs.field(default=8.0, validator=_check_seconds)
    deadline: float = attrs.field(default=60.0, validator=_check_seconds)


class RetryHooks(NamedTuple):
    """What others on the same client have to say to a retry.

    `pause` tells the seconds for which the API has asked all of them to wait; `allows` pays for a retry after a failure
    and tells whether there is to be one.
    """

    throttle_delay: Callable[[], float] = float
    spend_budget: Callable[[BaseException | None], bool] = lambda _: True


_NO_HOOKS = RetryHooks()


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may well succeed the next time."""
    if isinstance(error, ConflictError):
        # The first attempt under this key may be still running: its answer is to be had a little later.
        return error.in_doubt and error.idempotency_key is not None
    if isinstance(error, APIError):
        return error.status_code in _TRANSIENT_STATUSES
    return isinstance(error, APIConnectionError) and error.transient


def is_throttled(error: BaseException | None) -> TypeGuard[APIError]:
    """Tell whether a failure is a refusal for pace: a 429, or a 503 that says when to come back."""
    return isinstance(error, APIError) and (
        error.status_code == 429 or (error.status_code == 503 and error.retry_after is not None)
    )


async def retry_after_failure(
    policy: RetryPolicy,
    deadline: float,
    failure: RequestError,
    attempt: Callable[[int], Awaitable[T]],
    hooks: RetryHooks = _NO_HOOKS,
) -> T:
    """Go on after a first attempt that ended in `failure`, until one succeeds, or the policy or restraint says stop.

    `ends` is the `time.monotonic()` of the deadline; `attempt` makes the attempt of that number. Raises the last error
    that an attempt raised.
    """
    # Most calls never come here, and tenacity is a good part of what importing this package takes.
    from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential  # noqa: PLC0415

    numbers = count(1)
    backoff = wait_random_exponential(multiplier=policy.wait_initial, max=policy.wait_max)

    async def next_attempt() -> T:
        # The failure that led here is tenacity's first attempt, so that its counting and its waits are the call's.
        number = next(numbers)
        if number == 1:
            raise failure
        return await attempt(number)

    def wait(state: "RetryCallState") -> float:
        asked = max(getattr(_failure(state), "retry_after", None) or 0.0, hooks.throttle_delay())
        # The server's wait is never shortened. What comes on top keeps all that were told the same second from coming
        # back in it, and takes no more than half of the time that is left, or the attempt would be left without any.
        left = max(0.0, deadline - time.monotonic() - asked - MIN_ATTEMPT_SECONDS)
        return float(asked + min(backoff(state), left / 2))

    def is_over(state: "RetryCallState") -> bool:
        left = deadline - time.monotonic() - state.upcoming_sleep
        if state.attempt_number >= policy.attempts or left < MIN_ATTEMPT_SECONDS:
            return True
        return not hooks.spend_budget(_failure(state))

    retrying = AsyncRetrying(
        sleep=asyncio.sleep,
        stop=is_over,
        wait=wait,
        retry=retry_if_exception(is_transient),
        before_sleep=lambda state: _log_retry(policy, state),
        reraise=True,
    )
    return await retrying(next_attempt)


def _failure(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_retry(policy: RetryPolicy, state: "RetryCallState") -> None:
    number = state.attempt_number + 1
    _logger.warning("attempt %d of %d in %.2f s: %s", number, policy.attempts, state.upcoming_sleep, _failure(state))
