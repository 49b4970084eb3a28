"""Estimator of a server's rate limit: how many requests it accepts in how many seconds."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

# Fewer accepted requests say nothing about a rate.
_MIN_SAMPLE = 4
# Factor by which each speed-up shortens the period.
_SPEED_UP = 0.95
# Successes before a speed-up: at first, at least where a count is used at once, and at most (or this many counts).
_MIN_HOLD = 8
_MIN_HOLD_OF_COUNT = 50
_MAX_HOLD = 256
_MAX_HOLD_COUNTS = 8
# A rate this many times as high as the one that was refused limits nothing any more.
_FORGET_FACTOR = 4.0
# Relative precision of a measured period.
_TOLERANCE = 0.97
_FIRST_STEP = 0.02


class RecoverySample(NamedTuple):
    """Observation of a gate that has opened again.

    Attributes:
        sent: When the request that opened it was sent.
        open_seconds: Seconds since it opened before.
        closed_seconds: Seconds for which it was closed.
        slack: Seconds by which it may have opened too late.
        successes: Accepted requests since it opened before.
    """

    sent: float
    open_seconds: float
    closed_seconds: float
    slack: float
    successes: int


class RateEstimator:
    """Rate estimator: a count of requests in a period, learned from throttling.

    The first refusals show both: 300 sent at once and 60 s of refusals are 300 in 60 s. The period then shrinks by a
    twentieth after some successes, until that is refused; it returns to the last accepted one, and tries again after
    twice as many. A count that is refused although most of it should be left was the burst of a bucket: from then on
    one request is sent at a time, at the rate that was accepted. The same holds if the gate opens again soon after it
    closed in the middle of a burst: a limiter that approximates its window, as haproxy's does, needs even spacing.

    Attributes:
        count: Requests in a period, 0 where no limit is known.
        period: Seconds.
        counts_refused: Whether refused requests use up the count too.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.period: float = 0.0
        # Successes since the last opening at which to speed up, and between two speed-ups.
        self._speed_up_at = 0
        self._hold = 0
        # The shortest period that is thought to be accepted, and one that certainly is.
        self._accepted = 0.0
        self._safe = 0.0
        self._step = _FIRST_STEP
        self._is_suspect = False
        self._refused_rate = 0.0
        self.counts_refused: bool = False
        # Whether the period was measured by a gate that stayed closed for most of it, and not by a burst alone.
        self._is_whole_period = False

    @property
    def rate(self) -> float | None:
        """Requests a second, None where no limit is known."""
        return self.count / self.period if self.count else None

    def reset(self) -> None:
        """Forget the limit."""
        self.count = 0

    def speed_up(self, successes: int) -> None:
        """Raise the rate if there were enough successes since the last opening; forget one far above the refused."""
        if not self.count or successes < self._speed_up_at:
            return
        self._speed_up_at = successes + self._hold
        self._accepted = self._safe = self.period
        self.period *= _SPEED_UP
        if self.count > self._refused_rate * _FORGET_FACTOR * self.period:
            self.reset()

    def observe(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        """Learn from an opening.

        Args:
            accepted: When each accepted request was sent, the one that opened the gate last.
            sample: What was observed.
        """
        if self.count:
            self._correct(accepted, sample)
        else:
            self._learn(accepted, sample)
        self._refused_rate = self.rate or 0.0
        # A count that is returned all at once says nothing about the period: only the next opening does.
        self._speed_up_at = self._hold + (self.count if self.count > 1 else 0)

    def _learn(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        # The span up to now with the highest rate: it begins with the burst that was too much.
        earlier = islice(reversed(accepted), 1, None)
        spans = ((count, sample.sent - when) for count, when in enumerate(earlier, 1) if when < sample.sent)
        count, seconds = max(spans, key=lambda span: span[0] / span[1], default=(0, 0.0))
        if count >= _MIN_SAMPLE:
            self._measure(count, seconds, sample.slack)
            self._is_whole_period = sample.closed_seconds > seconds / 2
            self._hold = count
            self._is_suspect = False

    def _measure(self, count: int, seconds: float, slack: float) -> None:
        self.count = count
        self.period = seconds - slack / 2
        self._accepted = self._safe = seconds
        self._hold = max(count, _MIN_HOLD_OF_COUNT)

    def _correct(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        is_new_period = sample.closed_seconds - sample.slack > sample.open_seconds / 3
        if self.count == 1:
            self._slow_down(sample)
        elif self._is_smooth(accepted, sample):
            measured = sample.open_seconds / sample.successes
            self.period = measured if sample.successes >= self.count / 2 else max(measured, self.period / self.count)
            self.count, self._hold = 1, _MIN_HOLD
        elif is_new_period and self.count / 4 <= sample.successes < 1.1 * self.count:
            # It closed for a whole period before the count was used up: by refused requests.
            self.counts_refused |= sample.successes <= _TOLERANCE * self.count
            self._measure(sample.successes, sample.open_seconds, sample.slack)
        elif sample.successes >= 0.9 * self.count:
            self._is_suspect = False
            self._lengthen(accepted, sample)
        elif self._is_suspect:
            self.count, self.period = 1, 2 * self.period / self.count
            self._slow_down(sample)
        else:
            # Once may be chance: requests overtake each other on the network.
            self._is_suspect = True
            self.period *= 1.1
            self._hold = max(self.count, _MIN_HOLD_OF_COUNT)

    def _is_smooth(self, accepted: Sequence[float], sample: RecoverySample) -> bool:
        # A window that refuses in the middle of a burst stays closed until the burst before it has left the window.
        closed_at = sample.sent - sample.closed_seconds
        burst = sum(closed_at - self.period / 2 < when <= closed_at for when in accepted)
        is_short = sample.closed_seconds < self.period / 4
        is_known = self._is_whole_period or sample.successes >= self.count / 2
        return is_short and is_known and burst >= 0.15 * self.count

    def _slow_down(self, sample: RecoverySample) -> None:
        if sample.successes >= _MIN_SAMPLE:
            self.period = max(self.period * 1.05, min(sample.open_seconds / sample.successes, self.period * 2))
            self._hold = min(self._hold * 2, _MAX_HOLD)
        else:
            self.period *= 2
            self._hold = _MIN_HOLD

    def _lengthen(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        counted = sample.sent - accepted[-min(self.count + 1, len(accepted))]
        measured = min(self.period + sample.closed_seconds, counted)
        if self._accepted < _TOLERANCE * (measured - sample.slack):
            shortest = self.period * 1.02
            self._measure(self.count, measured, sample.slack)
            self.period = max(self.period, shortest)
            return
        if self.period < self._accepted:
            self._hold = min(self._hold * 2, max(_MAX_HOLD, self.count * _MAX_HOLD_COUNTS))
            self._step = _FIRST_STEP
        else:
            self._accepted = max(self._accepted * (1 + self._step), (self._accepted + self._safe) / 2)
            self._step *= 2
        self.period = self._accepted = min(self._accepted, measured)
