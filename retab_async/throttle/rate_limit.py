"""Rate limits that are known from the start, and the sliding window that keeps to one."""

from collections import deque
from collections.abc import Callable
from math import inf

import attrs

from retab_async.settings import check_count, check_seconds
from retab_async.throttle.slots import Demand, reserve_of


def _check_requests(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    check_count(attribute.name, value)


def _check_per(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    check_seconds(attribute.name, value)


@attrs.frozen
class RateLimit:
    """Rate limit: at most `requests` in any `per` seconds.

    A request counts from before it is sent until `per` seconds after its response, so that the limit also holds for
    servers with latency, and whether they count in a rolling window, in fixed windows, or in a token bucket.

    Args:
        requests: Number of requests, at least 1.
        per: Seconds, above 0.

    Raises:
        ConfigurationError: One of the values is not such a number.
    """

    requests: int = attrs.field(validator=_check_requests)
    per: float = attrs.field(kw_only=True, validator=_check_per)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.per


class SlidingWindow:
    """Sliding window of a known rate limit."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._in_flight = 0
        self._finished_at: deque[float] = deque()

    def seconds_until_free(self, now: float, reserved: int = 0) -> float:
        """Return the seconds until the next request may start, `inf` where one in flight has to finish first.

        Args:
            now: The current time.
            reserved: Number of requests that are kept free.
        """
        while self._finished_at and now >= self._finished_at[0] + self.limit.per:
            self._finished_at.popleft()
        excess = self._in_flight + len(self._finished_at) - (self.limit.requests - reserved)
        if excess < 0:
            return 0.0
        return self._finished_at[excess] + self.limit.per - now if excess < len(self._finished_at) else inf

    def is_in_use(self, now: float) -> bool:
        """Return whether a request counts now."""
        return self._in_flight > 0 or (bool(self._finished_at) and now < self._finished_at[-1] + self.limit.per)

    def start(self) -> None:
        """Count a request as in flight."""
        self._in_flight += 1

    def finish(self, now: float) -> None:
        """Count a request as answered or failed."""
        self._in_flight -= 1
        self._finished_at.append(now)


class LocalLimiter:
    """Limiter of all requests with one credential under a known rate limit, with a reserve for cancels.

    Args:
        limit: The rate limit.
        demand: Returns the requests that wait for their turn.
        wake: Makes the first N of them look again.
    """

    is_alone = True

    def __init__(self, limit: RateLimit, demand: Callable[[], Demand], wake: Callable[[int], None]) -> None:
        self.limit = limit
        self._demand, self._wake = demand, wake
        self._window = SlidingWindow(limit)
        self._calls_until = -inf

    def is_in_use(self, now: float) -> bool:
        """Return whether a request counts now."""
        return self._window.is_in_use(now)

    def seconds_until_free(self, now: float) -> float:
        """Return the seconds until the first waiter may be sent, `inf` where one in flight has to finish first."""
        urgent, _, has_calls = self._demand()
        if has_calls:
            self._calls_until = now + self.limit.per
        is_reserved = not urgent and self._calls_until > now
        return self._window.seconds_until_free(now, reserve_of(self.limit.requests) if is_reserved else 0)

    def closed_seconds(self, now: float) -> float:
        """Return the seconds for which no request can be sent; 0 if one in flight has to finish first."""
        seconds = self._window.seconds_until_free(now)
        return 0.0 if seconds == inf else seconds

    def start(self) -> None:
        """Count a request as in flight."""
        self._window.start()

    def finish(self, now: float) -> None:
        """Count a request as answered or failed."""
        self._window.finish(now)
        self._wake(1)

    def on_throttled(self, now: float, retry_after: float | None) -> None:
        """Do nothing: the throttle holds back its own requests."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
