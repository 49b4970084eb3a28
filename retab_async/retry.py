"""Retries: policy, classification of failures and backoff delays; the only module that uses tenacity."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, TypeVar

import attrs

from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    ConflictError,
    RequestError,
)
from retab_async.settings import check_count, check_seconds

if TYPE_CHECKING:
    from tenacity import RetryCallState


T = TypeVar("T")

# Beside these every 5xx is transient, also those of gateways, except two that state a permanent lack of support.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_PERMANENT_STATUSES = frozenset({501, 505})
_CONGESTION_STATUSES = frozenset({502, 503, 504, 522, 524, 529})
# An attempt needs at least this much of the deadline, in seconds.
MIN_ATTEMPT_SECONDS = 0.01
# 2.0 to a higher power overflows long after the cap of any policy is reached.
_MAX_EXPONENT = 60

_logger = logging.getLogger("retab_async")


def _check_attempts(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    check_count(attribute.name, value)


def _check_statuses(_: object, attribute: "attrs.Attribute[frozenset[int]]", value: frozenset[int]) -> None:
    if not all(type(status) is int and 300 <= status <= 599 for status in value):
        msg = f"{attribute.name} must be HTTP statuses from 300 to 599, not {sorted(value, key=str)!r}"
        raise ConfigurationError(msg)


def _to_statuses(value: Iterable[int]) -> frozenset[int]:
    try:
        return frozenset(value)
    except TypeError:
        msg = f"retry_statuses must be a collection of HTTP statuses, not {value!r}"
        raise ConfigurationError(msg) from None


def _check_seconds(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    check_seconds(attribute.name, value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Retry policy: how often a call is repeated after a transient failure, and how long it waits in between.

    Attributes:
        attempts: Attempts of one call, default 4. The resend after the server closed a kept-alive connection is not
            counted.
        wait_initial: Seconds, default 0.25. The n-th wait is drawn between 0 and `wait_initial * 2**(n-1)`; a
            `Retry-After` of the server is waited for in full.
        wait_max: Upper bound of the drawn wait in seconds, default 8.
        deadline: Seconds for all attempts and waits of one call together, default 60.
        retry_statuses: Statuses to retry beside 408, 425, 429 and every 5xx except 501 and 505, default none.

    Raises:
        ConfigurationError: A value is not above zero, or no HTTP status.
    """

    attempts: int = attrs.field(default=4, validator=_check_attempts)
    wait_initial: float = attrs.field(default=0.25, validator=_check_seconds)
    wait_max: float = attrs.field(default=8.0, validator=_check_seconds)
    deadline: float = attrs.field(default=60.0, validator=_check_seconds)
    retry_statuses: frozenset[int] = attrs.field(default=frozenset(), converter=_to_statuses, validator=_check_statuses)


def check_policy(retry: object) -> RetryPolicy:
    """Return a value that is a `RetryPolicy`, or raise `ConfigurationError`."""
    if not isinstance(retry, RetryPolicy):
        msg = f"retry must be a RetryPolicy, such as RetryPolicy(attempts=1) for no retries, not {retry!r:.200}"
        raise ConfigurationError(msg)
    return retry


class RetryHooks(NamedTuple):
    """Limits that a retry shares with the other calls of a client.

    Attributes:
        throttle_delay: Returns the seconds for which the API has asked all callers to wait.
        spend_budget: Pays for one retry after this failure; False means that the budget is used up.
    """

    throttle_delay: Callable[[], float] = float
    spend_budget: Callable[[BaseException | None], bool] = lambda _: True


_NO_HOOKS = RetryHooks()


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed the next time."""
    if isinstance(error, ConflictError):
        # The first attempt under this key may still be running: its response is available a little later.
        return error.in_doubt and error.idempotency_key is not None
    if isinstance(error, APIError):
        return error.transient or is_transient_status(error.status_code)
    return isinstance(error, APIConnectionError) and error.transient


def is_transient_status(status: int, retry_statuses: Collection[int] = ()) -> bool:
    """Tell whether another attempt may help after a response with this status."""
    if 500 <= status < 600:
        return status not in _PERMANENT_STATUSES or status in retry_statuses
    return status in _TRANSIENT_STATUSES or status in retry_statuses


def is_throttled(error: BaseException | None) -> TypeGuard[APIError]:
    """Tell whether the server asked for fewer requests: a 429, or a 503 with a `Retry-After`."""
    return isinstance(error, APIError) and (
        error.status_code == 429 or (error.status_code == 503 and error.retry_after is not None)
    )


def is_congestion(error: BaseException) -> bool:
    """Tell whether the server was too busy to respond in time: 502, 503, 504, 522, 524, 529, or a timeout."""
    if isinstance(error, APIError):
        return error.status_code in _CONGESTION_STATUSES
    return isinstance(error, APITimeoutError) and error.transient


def retry_after_of(error: BaseException | None) -> float:
    """Return the wait in seconds that the server asked for, 0.0 without one."""
    return (error.retry_after or 0.0) if isinstance(error, APIError) else 0.0


def jitter(policy: RetryPolicy, attempt: int) -> float:
    """Draw the random part of the wait after the `attempt`-th failure, in seconds (exponential, full jitter)."""
    return random.uniform(0, min(policy.wait_initial * 2.0 ** min(attempt - 1, _MAX_EXPONENT), policy.wait_max))


def backoff_delay(policy: RetryPolicy, attempt: int, error: BaseException | None) -> float:
    """Return the wait in seconds after the `attempt`-th failure: the server's `Retry-After` plus the jitter."""
    return retry_after_of(error) + jitter(policy, attempt)


async def retry_after_failure(
    policy: RetryPolicy,
    deadline: float,
    failure: RequestError,
    attempt: Callable[[int], Awaitable[T]],
    hooks: RetryHooks = _NO_HOOKS,
) -> T:
    """Retry a call whose first attempt failed, until one succeeds or a limit is reached.

    Args:
        policy: How often, and how long to wait in between.
        deadline: When all of it must be finished, in `time.monotonic()`.
        failure: The error of the first attempt.
        attempt: Makes the attempt of that number.
        hooks: What the client's other calls have to say.

    Raises:
        RequestError: The error of the last attempt.
    """
    # Most calls never come here, and tenacity is a good part of the import time of this package.
    from tenacity import AsyncRetrying, retry_if_exception  # noqa: PLC0415

    numbers = count(1)

    async def next_attempt() -> T:
        # The failure that led here is tenacity's first attempt, so that its counting and its waits are the call's.
        number = next(numbers)
        if number == 1:
            raise failure
        return await attempt(number)

    def wait(state: "RetryCallState") -> float:
        asked = max(retry_after_of(_failure(state)), hooks.throttle_delay())
        # The server's wait is never shortened. The jitter on top spreads callers that got the same Retry-After, and
        # takes no more than half of the time that is left, so that the attempt has some.
        left = max(0.0, deadline - time.monotonic() - asked - MIN_ATTEMPT_SECONDS)
        return asked + min(jitter(policy, state.attempt_number), left / 2)

    def is_finished(state: "RetryCallState") -> bool:
        left = deadline - time.monotonic() - state.upcoming_sleep
        if state.attempt_number >= policy.attempts or left < MIN_ATTEMPT_SECONDS:
            return True
        return not hooks.spend_budget(_failure(state))

    retrying = AsyncRetrying(
        sleep=asyncio.sleep,
        stop=is_finished,
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
