"""A limit that is known beforehand, and the keeping of it."""

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
    """At most `requests` in any `per` seconds.

    Each counts from before it is sent until `per` seconds after its answer, so that neither its way nor how the server
    counts (a rolling window, a fixed one, a bucket of tokens) makes it one too many. Raises `ConfigurationError` for a
    number that is not whole and at least 1, and for seconds that are not above 0.
    """

    requests: int = attrs.field(validator=_check_requests)
    per: float = attrs.field(kw_only=True, validator=_check_per)


class SlidingWindow:
    """What a rate limit leaves at a moment."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._outstanding = 0
        self._finished_at: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Return the seconds until the next may go, `inf` where one that is out has to come back first."""
        while self._finished_at and now >= self._finished_at[0] + self._limit.per:
            self._finished_at.popleft()
        if self._outstanding + len(self._finished_at) < self._limit.requests:
            return 0.0
        return self._finished_at[0] + self._limit.per - now if self._finished_at else inf

    def start(self) -> None:
        """Count one that goes."""
        self._outstanding += 1

    def finish(self, now: float) -> None:
        """Count the answer to one, or its failure."""
        self._outstanding -= 1
        self._finished_at.append(now)
