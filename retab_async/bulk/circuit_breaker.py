"""Whether the server is there: told by answers, doubted by failures in a row, found out by probes."""

import random
import time
from collections.abc import Callable

from retab_async.errors import RequestError
from retab_async.retry import retry_after_of

# Failures in a row, with no answer between them, from which on the server counts as away: as many as there are
# workers, within these bounds.
FEWEST_FAILURES = 3
MOST_FAILURES = 8

_FIRST_PAUSE = 0.25
_GROWTH = 1.5
# With the time of a send that hangs, this keeps the return from being noticed later than two seconds after it.
_LONGEST_PAUSE = 1.5
_SHORTEST_PROBE = 1.75
_LONGEST_PROBE = 5.0
# A probe may take so many times as long as the last success took.
_SLOWER = 4


def probe_timeout(took: float | None) -> float:
    """Return how many seconds a probe may take: not many, where answers used to come quickly."""
    return min(max(_SHORTEST_PROBE, took * _SLOWER), _LONGEST_PROBE) if took is not None else _LONGEST_PROBE


class CircuitBreaker:
    """What the workers of a job know together about the server.

    `is_away`: nothing but probes is to be sent. `is_lost`: it was away for longer than the job's outage_timeout, or is going
    to be, and nothing is to be sent any more. `outages`: how often it was away. `is_doubted`: the last send failed, so
    that the next answer is to be told. `error`: the last failure. `is_probed`: somebody sees to the probes.
    """

    def __init__(self, outage_timeout: float, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._outage_timeout = outage_timeout
        self._draw = draw
        self.is_doubted = False
        self._streak = 0
        self._failing_since = 0.0
        self._began_probe = 0.0
        self._interval = _FIRST_PAUSE
        self._probes_failed = 0
        self.is_away = False
        self.is_lost = False
        self.is_probed = False
        self.outages = 0
        self.error: RequestError | None = None

    def answer(self) -> bool:
        """Note an answer, after a doubt; tells whether that ends an absence."""
        self._streak = 0
        self.is_doubted = False
        if not self.is_away:
            return False
        self.is_away = False
        # Without a probe that failed it was not the server: some ids failed that came together.
        self.outages += self._probes_failed > 0
        return True

    def fail(self, error: RequestError, workers: int) -> None:
        """Note a failure that may pass, in one of so many workers."""
        self.error = error
        if self._streak == 0:
            self._failing_since = time.monotonic()
        self._streak += 1
        self.is_doubted = True
        if not (self.is_away or self.is_lost) and self._streak >= max(FEWEST_FAILURES, min(MOST_FAILURES, workers)):
            self.is_away = True
            self._interval = _FIRST_PAUSE
            self._probes_failed = 0
            self._began_probe = time.monotonic()

    def pause(self) -> float:
        """Return the seconds until the next probe, or until patience ends."""
        now = time.monotonic()
        asked = min(retry_after_of(self.error), _LONGEST_PROBE)
        due = self._began_probe + max(asked, self._interval * self._draw(0.8, 1.0))
        return max(0.0, min(due, self._failing_since + self._outage_timeout) - now)

    def is_overdue(self) -> bool:
        """Tell whether patience has ended."""
        return time.monotonic() >= self._failing_since + self._outage_timeout

    def begin_probe(self) -> None:
        """Note that a probe is being sent, and take longer to the next one."""
        self._began_probe = time.monotonic()
        self._interval = min(self._interval * _GROWTH, _LONGEST_PAUSE)

    def fail_probe(self) -> None:
        """Note that a probe came to nothing."""
        self._probes_failed += 1

    def give_up(self) -> None:
        """Send nothing any more."""
        self.is_away = False
        self.is_lost = True
