"""When the next request may go: a gate that refusals close, and behind it the rate that was learned from them."""

from collections import deque
from math import inf

from retab_async.throttle.rate_estimator import RateEstimator, RecoverySample

# How far back is remembered what got through.
_REMEMBERED = 4096
# Without a word of the server about when to come back, probes go after: at first so many seconds, or this part of the
# period; then this part of the time for which it has been closed; but at least so often.
_FIRST_PAUSE = 0.1
_FINE = 1 / 40
_NEXT_PAUSE = 0.3
_LONGEST_PAUSE = 60.0
# How much quicker than on average a count is used that comes back all at once.
_HASTE = 5.0
# So many successes after it opened, a gate without a rate behind it is open to all.
_OPEN_TO_ALL = 32
# A rate that was not refused for so many seconds and two periods limits nothing.
_LONG_AGO = 300.0
# What takes longer to answer was at work, and not on its way.
_LONGEST_ROUND_TRIP = 2.0


class AdaptiveLimiter:
    """The moment from which the next request may go, learned from answers and refusals; times are of one clock.

    A refusal closes the gate, for as long as the server asks. Then one goes at a time, until one gets through; the
    others follow, twice as many each round trip, at the rate that was learned, if it was a refusal for pace.
    """

    def __init__(self) -> None:
        self.estimate = RateEstimator()
        self.is_closed = False
        self.retry_after_until = -inf
        self._sent_at: deque[float] = deque(maxlen=_REMEMBERED)
        self._probe_at = -inf
        self._next_due = -inf
        self._closed_at = -inf
        self._refused_at = -inf
        self._reacted_at = -inf
        self._reopened_at = -inf
        self._slack = 0.0
        self._is_learning = False
        self._successes = 0
        self._round_trip = 0.0

    def start(self, round_trip: float) -> None:
        """Begin to take note of answers, with a first idea of how long one takes."""
        self._round_trip = min(round_trip, _LONGEST_ROUND_TRIP)
        self._successes = 0

    def next_send_at(self, now: float) -> float:
        """Return when the next may go; `-inf` where nothing is to be kept to."""
        if self.is_closed:
            return max(self._probe_at, self.retry_after_until)
        if self.retry_after_until > now:
            # One that was under way for longer than the probe that opened it was told to wait.
            return self.retry_after_until
        count, period = self.estimate.count, self.estimate.period
        if now - self._refused_at > _LONG_AGO + 2 * period:
            self.estimate.reset()
            return -inf
        last = self._sent_at[-1] if self._sent_at else -inf
        gently = last + self._round_trip / (1 + self._successes)
        if not count:
            return gently if self._successes < _OPEN_TO_ALL else -inf
        evenly = last + period / (1 if count == 1 else count * _HASTE)
        return max(gently, evenly, self._sent_at[-count] + period if count <= len(self._sent_at) else -inf)

    def on_sent(self, now: float) -> None:
        """Count one that goes."""
        self._sent_at.append(now)
        if self.is_closed:
            self._probe_at = now + self._next_pause(now)

    def on_response(self, sent: float, now: float) -> bool:
        """Take note that what went at that moment was taken; tells whether that opened the gate."""
        self._round_trip += (min(now - sent, _LONGEST_ROUND_TRIP) - self._round_trip) / 8
        if self.is_closed and sent > self._reacted_at:
            self._open(sent)
            return True
        self._successes += 1
        if not self.is_closed:
            self.estimate.speed_up(self._successes)
        return False

    def on_throttled(self, sent: float, now: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        """Take note of a refusal; what went before the last one was noted says nothing new, but for its pause."""
        # A long time ago it has been forgotten.
        if sent in self._sent_at:
            self._sent_at.remove(sent)
        self._refused_at = now
        if retry_after is not None:
            self.retry_after_until = max(self.retry_after_until, now + retry_after)
        # In one tick of the clock nobody knows what was first.
        if sent <= self._reacted_at:
            return
        self._reacted_at = now
        if not self.is_closed:
            self.is_closed, self._closed_at, self._is_learning = True, now, False
        self._is_learning |= is_rate_limited
        pause = self._next_pause(now)
        self._probe_at = self._next_due = now + pause
        # A number of whole seconds has been rounded up.
        self._slack = (
            pause if retry_after is None else min(retry_after, 1.0) if retry_after == int(retry_after) else 0.0
        )

    def _next_pause(self, now: float) -> float:
        fine = self.estimate.period * _FINE if self.estimate.count else _FIRST_PAUSE
        return min(max(2 * self._round_trip, fine, _NEXT_PAUSE * (now - self._closed_at)), _LONGEST_PAUSE)

    def _open(self, sent: float) -> None:
        self.is_closed = False
        if self._is_learning:
            # What was due and did not go, or went without an answer, might have been taken.
            since = min(sent, max(self._next_due, self.retry_after_until))
            took, closed = since - self._reopened_at, since - self._closed_at
            gone = [*(when for when in self._sent_at if when < since), since]
            self.estimate.observe(gone, RecoverySample(since, took, closed, self._slack, self._successes))
        self._reopened_at = sent
        self._successes = 1
