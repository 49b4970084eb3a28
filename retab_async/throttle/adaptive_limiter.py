"""Adaptive rate limiter: a gate that throttling responses close, and the rate learned from when it opens again."""

from collections import deque
from math import inf

from retab_async.throttle.rate_estimator import RateEstimator, RecoverySample

# Accepted requests whose times are kept.
_KEPT_SENDS = 4096
# Seconds until the first probe of a closed gate without a Retry-After: this, or this part of the learned period.
_FIRST_PAUSE = 0.1
_FIRST_PAUSE_OF_PERIOD = 1 / 40
# Later probes follow after this part of the time for which the gate has been closed, and at most these seconds.
_PAUSE_GROWTH = 0.3
_MAX_PAUSE = 60.0
# Seconds after which one request probes, however long a Retry-After is.
_MAX_CLOSED_SECONDS = 300.0
# Successes after which a gate that has opened without a learned rate limits nothing any more.
_SLOW_START_SUCCESSES = 32
# Seconds, beside two periods, after which a rate that was not refused is forgotten.
_FORGET_AFTER = 300.0
# Seconds: a longer latency is the server's work, not the network's.
_MAX_ROUND_TRIP = 2.0


class AdaptiveLimiter:
    """Adaptive rate limiter, learning from accepted and throttled requests; all times are of one monotonic clock.

    A throttling response closes the gate, for as long as the server asks. One request at a time then probes, until one
    is accepted; the others follow, twice as many each round trip, within the rate that was learned.

    Attributes:
        estimate: The learned rate.
        is_closed: Whether only probes may be sent.
        retry_after_until: When the last Retry-After ends, `-inf` without one.
        blocked_until: When the next probe may be sent because of it, after five minutes at the latest.
    """

    def __init__(self) -> None:
        self.estimate: RateEstimator = RateEstimator()
        self.is_closed: bool = False
        self.retry_after_until: float = -inf
        self.blocked_until: float = -inf
        self._accepted_at: deque[float] = deque(maxlen=_KEPT_SENDS)
        self._last_sent = -inf
        self._probe_at = -inf
        self._probe_due_at = -inf
        self._closed_at = -inf
        self._throttled_at = -inf
        self._reacted_at = -inf
        self._reopened_at = -inf
        self._slack = 0.0
        self._is_rate_limited = False
        self._successes = 0
        self._round_trip = 0.0

    def start(self, round_trip: float) -> None:
        """Start to record responses, with a first estimate of the round trip in seconds."""
        self._round_trip = min(round_trip, _MAX_ROUND_TRIP)
        self._successes = 0

    def next_send_at(self, now: float) -> float:
        """Return when the next request may be sent, `-inf` where nothing limits it any more."""
        if self.is_closed:
            return max(self._probe_at, self.blocked_until)
        if self.blocked_until > now:
            # A Retry-After of a request that was in flight for longer than the probe that opened the gate.
            return self.blocked_until
        count, period = self.estimate.count, self.estimate.period
        if now - self._throttled_at > _FORGET_AFTER + 2 * period:
            self.estimate.reset()
            return -inf
        slow_start = self._last_sent + self._round_trip / (1 + self._successes)
        if not count:
            return slow_start if self._successes < _SLOW_START_SUCCESSES else -inf
        spaced = self._last_sent + self.estimate.spacing
        accepted = self._accepted_at
        return max(slow_start, spaced, accepted[-count] + period if count <= len(accepted) else -inf)

    def on_sent(self, now: float) -> None:
        """Record a request."""
        self._last_sent = now
        self._accepted_at.append(now)
        if self.is_closed:
            self._probe_at = now + self._next_pause(now)

    def on_response(self, sent: float, now: float) -> bool:
        """Record that a request was accepted; return whether that opened the gate."""
        self._round_trip += (min(now - sent, _MAX_ROUND_TRIP) - self._round_trip) / 8
        if self.is_closed and sent > self._reacted_at:
            self._open(sent)
            return True
        self._successes += 1
        if not self.is_closed:
            self.estimate.speed_up(self._successes)
        return False

    def on_throttled(self, sent: float, now: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        """Record that a request was throttled.

        Only the Retry-After counts of one that was sent before the last closing: it tells nothing else that is new.

        Args:
            sent: When the request was sent.
            now: The current time.
            retry_after: Seconds, None where the response does not tell.
            is_rate_limited: Whether it was for the rate, so that one can be learned.
        """
        # The oldest ones are not kept.
        if sent in self._accepted_at:
            self._accepted_at.remove(sent)
        self._throttled_at = now
        if retry_after is not None:
            self._supersede(sent)
            self.retry_after_until = max(self.retry_after_until, now + retry_after)
            self.blocked_until = max(self.blocked_until, now + min(retry_after, _MAX_CLOSED_SECONDS))
        # Within one tick of the clock the order is unknown.
        if sent <= self._reacted_at:
            return
        self._reacted_at = now
        if not self.is_closed:
            self.is_closed, self._closed_at, self._is_rate_limited = True, now, False
        self._is_rate_limited |= is_rate_limited
        pause = self._next_pause(now)
        self._probe_at = self._probe_due_at = now + pause
        # A number of whole seconds has been rounded up.
        rounding = 0.0 if retry_after is None or retry_after != int(retry_after) else min(retry_after, 1.0)
        self._slack = pause if retry_after is None else rounding

    def _supersede(self, sent: float) -> None:
        # The response to a probe is newer than the Retry-After in which it was sent.
        if sent >= self.blocked_until:
            self.retry_after_until = -inf

    def _next_pause(self, now: float) -> float:
        first = self.estimate.period * _FIRST_PAUSE_OF_PERIOD if self.estimate.count else _FIRST_PAUSE
        return min(max(2 * self._round_trip, first, _PAUSE_GROWTH * (now - self._closed_at)), _MAX_PAUSE)

    def _open(self, sent: float) -> None:
        self.is_closed = False
        self._supersede(sent)
        if self._is_rate_limited:
            # A probe that was due but not sent, or not answered, might have been accepted.
            since = min(sent, max(self._probe_due_at, self.blocked_until))
            open_seconds, closed_seconds = since - self._reopened_at, since - self._closed_at
            accepted = [*(when for when in self._accepted_at if when < since), since]
            sample = RecoverySample(since, open_seconds, closed_seconds, self._slack, self._successes)
            self.estimate.observe(accepted, sample)
        self._reopened_at = sent
        self._successes = 1
