"""Rate limits that are known from the start, and the sliding window that keeps to one."""

from collections import deque
from math import inf

import attrs

from retab_async.settings import check_count, check_seconds


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

    def seconds_until_free(self, now: float) -> float:
        """Return the seconds until the next request may start, `inf` where one in flight has to finish first."""
        while self._finished_at and now >= self._finished_at[0] + self.limit.per:
            self._finished_at.popleft()
        if self._in_flight + len(self._finished_at) < self.limit.requests:
            return 0.0
        return self._finished_at[0] + self.limit.per - now if self._finished_at else inf

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
