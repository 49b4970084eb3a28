"""Estimator of a server's rate limit: how many requests it accepts in how many seconds."""

from collections.abc import Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

# Fewer accepted requests say nothing about a rate.
_MIN_SAMPLE = 4
# How much faster than on average a count may be used up, since the server returns it all at once.
_BURST_FACTOR = 5.0
# Factor by which a speed-up shortens the period: cubed after each accepted one, but not below the second factor.
_SPEED_UP = 0.95
_FASTEST_SPEED_UP = 0.7
# Successes before a speed-up: at an even rate at first, with bursts at first, and at most (or this many counts).
_MIN_HOLD = 8
_MIN_HOLD_OF_BURSTS = 50
_MAX_HOLD = 192
_MAX_HOLD_COUNTS = 3
# A refused speed-up may cost a twentieth of the time, but the next one comes after the most successes at the latest.
_HOLD_OF_CLOSED = 20
# A rate this many times as high as the one that was refused limits nothing any more.
_FORGET_FACTOR = 4.0
# A gate that is closed for longer than this part of the period waits until a count is returned at once.
_LONG = 0.5
# Part of a count that counts as all of it.
_USED_UP = 0.95
# Part of the period by which a refusal lengthens it at most, where the probes tell no more, and times in any case.
_STEP = 0.05
_MAX_SLOW_DOWN = 8.0
# A rate below this part of an earlier one is that of a limit that others use too.
_SHARED_RATIO = 0.5


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

    The first refusals show both: 300 sent at once and 60 s of refusals are 300 in 60 s, and 300 can be sent in a burst
    again. A gate that opens soon is a bucket's, and a refusal before the count is used up is that of a limiter that
    only approximates a window, as haproxy's does, or that counts refused requests too: they need an even rate.

    After some successes the period shrinks by a twentieth, until that is refused. It becomes then what the last
    accepted requests took, but at most the last period that was not refused, and is left alone for twice as many.
    If it is not refused, because another client of the same limit has finished, the next ones come soon and are larger.

    Attributes:
        count: Requests in a period, 0 where no limit is known.
        period: Seconds.
        best_rate: The highest accepted rate, measured over a full count; 0 without one.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.period: float = 0.0
        self._is_even = False
        # Successes since the last opening at which to speed up, and between two speed-ups.
        self._speed_up_at = 0
        self._hold = 0
        # The shortest period that was not refused.
        self._accepted = 0.0
        self._speed_up = _SPEED_UP
        self.best_rate: float = 0.0
        # When measuring begins: after the burst of a bucket, which is above its rate.
        self._measured_since = -inf
        self._is_remeasured = False
        self._refused_rate = 0.0

    @property
    def rate(self) -> float | None:
        """Requests a second, None where no limit is known."""
        return self.count / self.period if self.count else None

    @property
    def is_reduced(self) -> bool:
        """Whether the rate has fallen far below an earlier one, as that of a limit that other clients use too."""
        return self._ratio_to_best < _SHARED_RATIO

    @property
    def spacing(self) -> float:
        """Least seconds between two requests, where a limit is known."""
        return self.period / (self.count if self._is_even else self.count * _BURST_FACTOR)

    def reset(self) -> None:
        """Forget the limit."""
        self.count = 0

    def speed_up(self, successes: int) -> None:
        """Raise the rate if there were enough successes since the last opening; forget one far above the refused."""
        if not self.count or successes < self._speed_up_at:
            return
        # A window refuses only when its count is used up.
        in_period = self.count * self._ratio_to_best
        if self._hold >= in_period:
            if self.period < self._accepted:
                self._speed_up = max(self._speed_up**3, _FASTEST_SPEED_UP)
                self._hold = max(int(in_period), _MIN_HOLD)
            self._accepted = self.period
            self.best_rate = max(self.best_rate, self.count / self.period)
        self._speed_up_at = successes + self._hold
        self.period *= self._speed_up
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
        self._speed_up = _SPEED_UP
        # The effect of a burst shows only when its count is used up.
        self._speed_up_at = self._hold + (0 if self._is_even else self.count)

    def _learn(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        # The span up to now with the highest rate: it begins with the burst that was too much.
        earlier = islice(reversed(accepted), 1, None)
        spans = ((count, sample.sent - when) for count, when in enumerate(earlier, 1) if when < sample.sent)
        count, seconds = max(spans, key=lambda span: span[0] / span[1], default=(0, 0.0))
        if count >= _MIN_SAMPLE:
            self._measured_since, self._is_remeasured, self.best_rate = -inf, False, 0.0
            self._measure(count, seconds, sample.slack)
            if sample.closed_seconds - sample.slack <= _LONG * seconds:
                self._measured_since, self.period = sample.sent, seconds
                self._send_evenly()

    def _measure(self, count: int, seconds: float, slack: float) -> None:
        # The shortest period that is possible: too short a one is soon refused, and then measured more closely.
        self.count, self.period = count, max(seconds - slack, seconds / 2)
        self._accepted = self.period
        self._is_even, self._hold = False, max(count, _MIN_HOLD_OF_BURSTS)

    def _send_evenly(self) -> None:
        self._is_even, self._hold = True, max(self.count // 8, _MIN_HOLD)

    def _correct(self, accepted: Sequence[float], sample: RecoverySample) -> None:
        closed_at = sample.sent - sample.closed_seconds
        if sample.successes >= self.count:
            # Over a period at least: a bucket that was refilled accepts a burst above its rate.
            self.best_rate = max(self.best_rate, sample.successes / max(sample.open_seconds, self.period))
        used = sum(closed_at - self.period < when <= closed_at for when in accepted)
        is_early = used < _USED_UP * self.count
        is_long = sample.closed_seconds - sample.slack > _LONG * self.period
        is_whole = is_long and self.count / 4 <= sample.successes < 1.1 * self.count
        if is_whole and not (is_early and (self._is_even or self._is_remeasured)):
            # It was open until a count was used up, and closed until that was returned.
            self._is_remeasured |= is_early
            self._measure(sample.successes, sample.open_seconds, sample.slack)
            return
        # A window stays closed until its count is returned: until then the period was too short.
        self._lengthen(accepted, sample, inf if self._is_even else self.period + sample.closed_seconds)
        if is_early and not self._is_even:
            self._send_evenly()

    def _lengthen(self, accepted: Sequence[float], sample: RecoverySample, longest: float) -> None:
        """Set the period to what the last count took, or all since the last opening if those were faster."""
        times = [when for when in accepted if when >= self._measured_since]
        last = min(self.count, len(times) - 1)
        since_opening = min(max(last, sample.successes), len(times) - 1)
        is_tried = self.period < self._accepted
        if last > 0:
            seconds, slack = min(
                ((sample.sent - times[-taken - 1]) * self.count / taken, sample.slack * self.count / taken)
                for taken in (last, since_opening)
            )
            measured = min(seconds, longest, _MAX_SLOW_DOWN * self.period)
            shortest = min(seconds, longest) - slack
            longer = max(self.period, shortest) + min(slack / 2, _STEP * self.period)
            # Requests from before the last correction may have been faster.
            longer = max(self.period, min(measured, longer))
            self.period = min(longer, self._accepted) if is_tried else longer
        most = max(_MAX_HOLD, self.count * _MAX_HOLD_COUNTS)
        if is_tried:
            cost = int(_HOLD_OF_CLOSED * sample.closed_seconds * self.count / self.period)
            self._hold = min(max(self._hold * 2, cost), most)
        if self.best_rate:
            # A slow rate reaches these successes late: it is raised as often as the fastest one was.
            self._hold = max(_MIN_HOLD, min(self._hold, int(most * self._ratio_to_best)))
        self._accepted = self.period

    @property
    def _ratio_to_best(self) -> float:
        rate = self.rate
        return 1.0 if rate is None or not self.best_rate else min(1.0, rate / self.best_rate)
