"""Runs that a client created within the last minute: the API may not have them everywhere yet."""

import time
from collections.abc import Callable
from math import inf

# Seconds after its create for which a run may be answered with a 404.
VISIBILITY_SECONDS = 60.0


class RecentRuns:
    """Registry of the runs that a client and its copies created within the last minute.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadlines: dict[str, float] = {}

    def add(self, run_id: str) -> None:
        """Record a run that was created now."""
        now = self._clock()
        # In the order of their creates, so that the oldest come first.
        while self._deadlines and self._deadlines[first := next(iter(self._deadlines))] <= now:
            del self._deadlines[first]
        self._deadlines.pop(run_id, None)
        self._deadlines[run_id] = now + VISIBILITY_SECONDS

    def discard(self, run_id: str) -> None:
        """Forget a run, because it was deleted."""
        self._deadlines.pop(run_id, None)

    def not_found_until(self, run_id: str) -> float:
        """Return until when, in `time.monotonic()`, the run may be answered with a 404; `-inf` for others."""
        return self._deadlines.get(run_id, -inf)
