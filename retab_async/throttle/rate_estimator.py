"""What the server seems to bear: so many requests in so many seconds."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

# Fewer than this tell nothing about a rate.
_TELLING = 4
# The period becomes so much shorter with each growth, after as many successes as are held on for: at first, at the
# least where many come at once, and at the most, which may be more for large counts.
_GROWTH = 0.95
_SHORT_HOLD = 8
_HOLD_OF_MANY = 50
_LONG_HOLD = 256
_LONGEST_HOLD = 8
_FAR_BEYOND = 4.0
# How exact a measured period is held to be.
_TOLERANCE = 0.97
_FIRST_DOUBT = 0.02


class RecoverySample(NamedTuple):
    """How it came that requests are taken again, with the one that went at `sent`.

    Seconds: `took` since the last reopening, `closed` since the first refusal, `slack` by which it may have come too
    late. `passed`: how many got through since the last reopening.
    """

    sent: float
    open_seconds: float
    closed_seconds: float
    slack: float
    successes: int


class RateEstimator:
    """A count in a period; a count of 0 is none.

    The first refusals show both: 300 sent at once and 60 s of refusals are 300 in 60 s. The period then shrinks by a
    twentieth after so many successes, until that is refused: back to the last one that was borne, and the next try is
    after twice as many. A count that is refused while most of it should be left was a burst which the server had saved
    up: from there on it is one at a time, at the rate that got through.
    """

    def __init__(self) -> None:
        self.count = 0
        self.period = 0.0
        # Successes since the last reopening after which to grow.
        self._grows_at = 0
        self._hold = 0
        # The shortest period that is believed to be borne, and one that was long enough for certain.
        self._borne = 0.0
        self._enough = 0.0
        self._doubt = _FIRST_DOUBT
        self._is_suspect = False
        self._rate_refused = 0.0

    @property
    def rate(self) -> float | None:
        """The requests a second, None where there is nothing to keep to."""
        return self.count / self.period if self.count else None

    def reset(self) -> None:
        """Keep to nothing any more."""
        self.count = 0

    def speed_up(self, passed: int) -> None:
        """Allow more if enough has got through since the last reopening; far beyond what was refused, allow all."""
        if not self.count or passed < self._grows_at:
            return
        self._grows_at = passed + self._hold
        self._borne = self._enough = self.period
        self.period *= _GROWTH
        if self.count > self._rate_refused * _FAR_BEYOND * self.period:
            self.reset()

    def observe(self, gone: Sequence[float], found: RecoverySample) -> None:
        """Learn from a reopening; `gone` are the moments at which went what was not refused, this one last."""
        if self.count:
            self._correct(gone, found)
        else:
            self._learn(gone, found)
        self._rate_refused = self.rate or 0.0
        # What comes back all at once says nothing about the period: only the next opening does.
        self._grows_at = self._hold + (self.count if self.count > 1 else 0)

    def _learn(self, gone: Sequence[float], found: RecoverySample) -> None:
        # The stretch up to now over which most got through a second: it begins with the burst that was too much.
        earlier = islice(reversed(gone), 1, None)
        stretches = ((number, found.sent - when) for number, when in enumerate(earlier, 1) if when < found.sent)
        number, seconds = max(stretches, key=lambda stretch: stretch[0] / stretch[1], default=(0, 0.0))
        if number >= _TELLING:
            self._measure(number, seconds, found.slack)
            self._hold = number
            self._is_suspect = False

    def _measure(self, count: int, seconds: float, slack: float) -> None:
        self.count = count
        self.period = seconds - slack / 2
        self._borne = self._enough = seconds
        self._hold = max(count, _HOLD_OF_MANY)

    def _correct(self, gone: Sequence[float], found: RecoverySample) -> None:
        if self.count == 1:
            self._slow_down(found)
        elif found.successes >= 0.9 * self.count:
            self._is_suspect = False
            self._lengthen(gone, found)
        elif found.successes >= self.count / 4 and found.closed_seconds > found.open_seconds / 3:
            self._measure(found.successes, found.open_seconds, found.slack)
        elif self._is_suspect:
            self.count, self.period = 1, 2 * self.period / self.count
            self._slow_down(found)
        else:
            # Once may be chance: requests overtake each other on the way.
            self._is_suspect = True
            self.period *= 1.1
            self._hold = max(self.count, _HOLD_OF_MANY)

    def _slow_down(self, found: RecoverySample) -> None:
        if found.successes >= _TELLING:
            self.period = max(self.period * 1.05, min(found.open_seconds / found.successes, self.period * 2))
            self._hold = min(self._hold * 2, _LONG_HOLD)
        else:
            self.period *= 2
            self._hold = _SHORT_HOLD

    def _lengthen(self, gone: Sequence[float], found: RecoverySample) -> None:
        counted = found.sent - gone[-min(self.count + 1, len(gone))]
        measured = min(self.period + found.closed_seconds, counted)
        if self._borne < _TOLERANCE * (measured - found.slack):
            shortest = self.period * 1.02
            self._measure(self.count, measured, found.slack)
            self.period = max(self.period, shortest)
            return
        if self.period < self._borne:
            self._hold = min(self._hold * 2, max(_LONG_HOLD, self.count * _LONGEST_HOLD))
            self._doubt = _FIRST_DOUBT
        else:
            self._borne = max(self._borne * (1 + self._doubt), (self._borne + self._enough) / 2)
            self._doubt *= 2
        self.period = self._borne = min(self._borne, measured)
