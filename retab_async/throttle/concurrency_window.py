"""Congestion window of bulk jobs: how many of their requests may be in flight."""

from typing import Protocol

# A lost or throttled request leaves this part of the limit.
_DECREASE = 0.7
_INITIAL_LIMIT = 8


class Wakeable(Protocol):
    """A limiter whose callers wait for the window.

    Attributes:
        in_flight: Its requests that are in flight.
    """

    in_flight: int

    @property
    def needs_slot(self) -> bool:
        """Whether a caller is queued that only the window can hold back."""

    @property
    def backlog(self) -> int:
        """Callers that wait for nothing but the window and the throttle."""

    def wake(self, free: int) -> None:
        """Make as many waiters as there are free slots check the window again."""


class AimdWindow:
    """AIMD concurrency limit: additive increase on success, multiplicative decrease on a throttled or lost request.

    Up to the first decrease it grows by one with each success (slow start), after it by one a round trip. Jobs that
    wait for slots share them equally: the one with the fewest requests in flight has the next.

    Attributes:
        limit: Requests that may be in flight.
        in_flight: Requests that are.
        epoch: Number of decreases so far; requests of one epoch that fail together decrease the limit once.
        waiting: Limiters whose callers wait for the window.
    """

    def __init__(self) -> None:
        self.limit: int = _INITIAL_LIMIT
        self.in_flight = 0
        self.epoch: int = 0
        self.waiting: set[Wakeable] = set()
        self._exact_limit = float(_INITIAL_LIMIT)

    def wake(self) -> None:
        """Wake the waiting limiters."""
        free = max(0, self.limit - self.in_flight)
        # In the order in which they may take the slots: the woken tasks run in that order too.
        for limiter in sorted(self.waiting, key=lambda each: each.in_flight) if len(self.waiting) > 1 else self.waiting:
            limiter.wake(free)

    def is_turn_of(self, limiter: Wakeable) -> bool:
        """Return whether no other limiter that needs a slot has fewer requests in flight."""
        in_flight = limiter.in_flight
        return not any(other.in_flight < in_flight and other.needs_slot for other in self.waiting)

    @property
    def backlog(self) -> int:
        """Number of waiting callers for which there are free slots."""
        return min(max(0, self.limit - self.in_flight), sum(limiter.backlog for limiter in self.waiting))

    def increase(self, max_in_flight: int) -> None:
        """Count a success of a job with at most `max_in_flight` requests, which is as far as the limit may grow."""
        self._exact_limit = min(self._exact_limit + (1 / self._exact_limit if self.epoch else 1), max_in_flight)
        self.limit = int(self._exact_limit)

    def decrease(self, epoch: int) -> None:
        """Count a throttled or lost request that was sent in that epoch."""
        if epoch == self.epoch:
            self.epoch += 1
            self._exact_limit = max(1.0, self._exact_limit * _DECREASE)
            self.limit = int(self._exact_limit)
