"""The pace of a client: what all that it sends has in common."""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

import attrs

from retab_async.pacing.allowance import Allowance
from retab_async.pacing.budget import Budget
from retab_async.pacing.lines import Line
from retab_async.pacing.window import Window

_REMEMBERED = 1000
# So many latencies tell how long a round trip is now.
_RECENT = 32

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class Stats:
    """How a client is doing.

    `in_flight`: requests sent and not yet answered. `limit`: how many of a bulk job may be. `rate`: the requests a
    second that are kept to, None where none has been learned. `sent`: sends in all. `throttled`: answers 429.
    `tokens`: what is left for retries. `latency_p50`, `latency_p95`: seconds from a send to its answer, over the last
    1,000 answers, None before the first.
    """

    in_flight: int
    limit: int
    rate: float | None
    sent: int
    throttled: int
    tokens: int
    latency_p50: float | None
    latency_p95: float | None


class Pace:
    """What everything sent with one credential tells about the server and is held to.

    `is_free`: nothing is to be kept to, and nobody has to ask for a turn. `took`: the seconds of the last success, None
    before the first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.is_free = True
        self.window = Window()
        self.budget = Budget()
        self.allowance = Allowance()
        self.turns = Line(clock, self._wait, lambda: None)
        self.sent = 0
        self.throttled = 0
        self.took: float | None = None
        self.in_flight = 0
        self._elsewhere: Pace | None = None
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._announced_until = -inf

    @property
    def elsewhere(self) -> "Pace":
        """The pace of what goes to other addresses than the API's, which know nothing of its limits."""
        self._elsewhere = self._elsewhere or Pace(self.clock)
        return self._elsewhere

    def pause(self) -> float:
        """Return the seconds for which the API has asked to be left alone, as far as they are not over."""
        return max(0.0, self.allowance.told_until - self.clock())

    def went(self) -> float:
        """Count a send; returns its moment, by which its outcome is to be told."""
        now = self.clock()
        self.sent += 1
        self.in_flight += 1
        self.allowance.went(now)
        return now

    def came_back(self, sent: float | None) -> None:
        """Count a send as over, answered or not; None for one that never went."""
        self.in_flight -= sent is not None

    def got_through(self, sent: float, *, is_success: bool) -> None:
        """Take note of an answer that does not ask for less."""
        now = self.clock()
        self._latencies.append(now - sent)
        if is_success:
            self.took = now - sent
            self.budget.refund()
        if self.is_free:
            return
        if self.allowance.got_through(sent, now):
            _logger.debug("the API takes requests again, kept to %s a second", self.allowance.estimate.rate)
        self.turns.nudge()

    def refused(self, sent: float, told: float | None, *, is_for_pace: bool) -> None:
        """Take note of an answer that asks for less: a 429 `is_for_pace`, a 503 with a Retry-After only for a pause."""
        now = self.clock()
        self.throttled += is_for_pace
        self._latencies.append(now - sent)
        if self.is_free:
            self.is_free = False
            self.allowance.begin(statistics.median(islice(reversed(self._latencies), _RECENT)))
        self.allowance.refused(sent, now, told, is_for_pace=is_for_pace)
        if told is not None and now >= self._announced_until:
            self._announced_until = now + told
            _logger.log(_level(told), "the API asked for a pause of %.1f s", told)

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        latencies = sorted(self._latencies)
        return Stats(
            in_flight=self.in_flight,
            limit=self.window.limit,
            rate=self.allowance.estimate.rate,
            sent=self.sent,
            throttled=self.throttled,
            tokens=self.budget.tokens,
            latency_p50=latencies[len(latencies) // 2] if latencies else None,
            latency_p95=latencies[len(latencies) * 95 // 100] if latencies else None,
        )

    def _wait(self) -> float:
        now = self.clock()
        opens = self.allowance.opens(now)
        if opens == -inf:
            self.is_free = True
        return max(0.0, opens - now)


def _level(pause: float) -> int:
    # Shorter ones come by the dozen where a server counts in fractions of a second, and nobody feels them.
    return logging.WARNING if pause >= 1 else logging.DEBUG
