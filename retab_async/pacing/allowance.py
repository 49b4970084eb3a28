"""How many requests the server bears in how much time, learned from what got through before and after refusals."""

from collections import deque
from itertools import islice
from math import inf

# How far back is remembered what got through.
_REMEMBERED = 4096
# Fewer than this in a row tell nothing about a rate.
_TELLING = 4
# After a refusal without a word about when to come back: the first pause in seconds, and each next one as a part of the
# time since.
_FIRST_PAUSE = 0.1
_FINE = 25
_NEXT_PAUSE = 0.25
# How much quicker than on average an allowance is used that comes back all at once.
_HASTE = 5.0
_GROWTH = 0.95
_LONGEST_HOLD = 256
# A rate that has grown so far, or for so many seconds and periods, without being refused limits nothing.
_FAR_BEYOND = 4.0
_LONG_AGO = 300.0


class Allowance:
    """A count in a period, and the moment from which the next request may go; times are of one clock.

    There is none to begin with. The first refusal closes, one probe at a time goes until one gets through; what got
    through from the beginning of the busy stretch until then is the count, and that stretch the period: 300 sent at once
    and 60 s of refusals are 300 in 60 s. From there on the period shrinks by a twentieth with so many successes (additive
    increase of the rate), and grows with a refusal. A count that is refused while most of it should be left was a burst
    which the server had saved up: then it is one at a time, half as often with each refusal until it fits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.period = 0.0
        self.is_closed = False
        self._gone: deque[float] = deque(maxlen=_REMEMBERED)
        self._probe_at = -inf
        self._told_until = -inf
        self._closed_at = -inf
        self._reacted = -inf
        self._refused_at = -inf
        self._is_learning = False
        self._reopened = -inf
        self._passed = 0
        self._grown_at = 0
        self._hold = 0
        self._strikes = 0
        self._slack = 0.0
        self._borne = 0.0
        self._rate_refused = 0.0
        self._round_trip = 0.05

    @property
    def rate(self) -> float | None:
        """The requests a second that are kept to, None where there is nothing to keep to."""
        return self.count / self.period if self.count else None

    def opens(self, now: float) -> float:
        """Return when the next may go."""
        if self.is_closed:
            return max(self._probe_at, self._told_until)
        if not self.count or now - self._refused_at > _LONG_AGO + 2 * self.period:
            self.count = 0
            return -inf
        spacing = self.period / (self.count if self.count == 1 else self.count * _HASTE)
        # What has just opened is tried gently, twice as many each round trip.
        opens = self._gone[-1] + max(spacing, self._round_trip / (1 + self._passed)) if self._gone else -inf
        return max(opens, self._gone[-self.count] + self.period) if len(self._gone) >= self.count else opens

    def went(self, now: float) -> None:
        """Count one that goes."""
        self._gone.append(now)
        if self.is_closed:
            self._probe_at = now + self._next_pause(now)

    def got_through(self, sent: float, now: float) -> bool:
        """Take note that what went at that moment was answered; tells whether that opened what was closed."""
        self._round_trip += (now - sent - self._round_trip) / 8
        if self.is_closed:
            if sent < self._reacted:
                self._passed += 1
                return False
            self._reopen(sent)
            return True
        self._passed += 1
        if self.count and self._passed - self._grown_at >= self._hold:
            self._grown_at = self._passed
            self._borne = self.period
            self.period *= _GROWTH
            if (self.rate or 0.0) > self._rate_refused * _FAR_BEYOND:
                self.count = 0
        return False

    def refused(self, sent: float, now: float, told: float | None, *, is_for_pace: bool) -> None:
        """Take note of a refusal; what went before the last one was noted says nothing more, but for its pause."""
        if sent in self._gone:
            self._gone.remove(sent)
        self._refused_at = now
        if told is not None:
            self._told_until = max(self._told_until, now + told)
        if sent < self._reacted:
            return
        self._reacted = now
        if not self.is_closed:
            self.is_closed = True
            self._closed_at = now
            self._is_learning = False
        self._is_learning |= is_for_pace
        # By how much the next probe may come too late: a number of whole seconds has been rounded up.
        self._slack = self._next_pause(now) if told is None else min(told, 1.0) if told == int(told) else 0.0
        self._probe_at = now + self._next_pause(now)

    def _next_pause(self, now: float) -> float:
        first = max(2 * self._round_trip, min(self.period / _FINE, _FIRST_PAUSE)) if self.count else _FIRST_PAUSE
        return max(first, _NEXT_PAUSE * (now - self._closed_at))

    def _reopen(self, sent: float) -> None:
        self.is_closed = False
        if self._is_learning:
            if self.count:
                self._correct(sent)
            else:
                self._learn(sent)
        self._reopened = sent
        self._passed = 1
        self._grown_at = 0

    def _learn(self, sent: float) -> None:
        # The stretch up to now over which most got through: it begins with the burst that led to the refusal.
        latest_first = islice(reversed(self._gone), 1, None)
        stretches = (
            (number / (sent - when), number, when) for number, when in enumerate(latest_first, 1) if when < sent
        )
        _, number, when = max(stretches, default=(0.0, 0, 0.0))
        if number >= _TELLING:
            self.count, self.period = number, sent - when - self._slack / 2
            self._borne = sent - when
            self._rate_refused = self.count / self.period
            self._hold = number
            self._strikes = 0

    def _correct(self, sent: float) -> None:
        took = sent - self._reopened
        if self.count == 1:
            self._slow_down(took)
        elif self._passed >= 0.9 * self.count:
            self._restore(sent)
        elif self._passed >= self.count / 4 and sent - self._closed_at > took / 3:
            self.count, self.period, self._borne = self._passed, took - self._slack / 2, took
        elif self._strikes:
            self.count, self.period, self._hold = 1, 2 * self.period / self.count, 8
            self._slow_down(took)
        else:
            self._strikes = 1
            self.period *= 1.1
        self._rate_refused = self.count / self.period

    def _slow_down(self, took: float) -> None:
        if self._passed >= _TELLING:
            self.period = max(self.period * 1.05, min(took / self._passed, self.period * 2))
        else:
            self.period *= 2
        self._hold = min(max(self._hold * 2, 8), _LONGEST_HOLD)

    def _restore(self, sent: float) -> None:
        self._strikes = 0
        self._hold = min(self._hold * 2, _LONGEST_HOLD)
        most = self.period + sent - self._closed_at
        if self.count < len(self._gone):
            most = min(most, sent - self._gone[-self.count - 1])
        if most - self._slack <= self._borne <= most:
            self.period = self._borne
        else:
            self._borne = most
            self.period = max(self.period * 1.02, most - self._slack / 2)
