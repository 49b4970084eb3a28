"""The pace of a client: what all that it sends has in common."""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

import attrs

from retab_async.throttle.adaptive_limiter import AdaptiveLimiter
from retab_async.throttle.concurrency_window import AimdWindow
from retab_async.throttle.waiters import FifoGate

_TOKENS = 500
_RESERVE = 100
_TRANSIENT = 14
_THROTTLED = 5

_logger = logging.getLogger("retab_async")


class RetryBudget:
    """Tokens: each retry costs some, each success gives one back; the last hundred are kept for cancels."""

    def __init__(self) -> None:
        self.tokens = _TOKENS
        self._is_known_to_be_used_up = False

    def spend(self, *, is_throttled: bool, is_cancel: bool) -> bool:
        """Pay for a retry; False means that there is to be none."""
        cost = _THROTTLED if is_throttled else _TRANSIENT
        if self.tokens - cost >= (0 if is_cancel else _RESERVE):
            self.tokens -= cost
            return True
        if not self._is_known_to_be_used_up:
            self._is_known_to_be_used_up = True
            _logger.warning("the retry budget is used up: failures are not tried again until calls succeed")
        return False

    def refund(self) -> None:
        """Take note of a success."""
        if self.tokens < _TOKENS:
            self.tokens += 1
            if self.tokens == _TOKENS:
                self._is_known_to_be_used_up = False


_LATENCIES_KEPT = 1000
# So many latencies tell how long a round trip is now.
_RECENT_LATENCIES = 32


@attrs.frozen(kw_only=True)
class Stats:
    """How a client is doing.

    `in_flight`: requests sent and not yet answered. `limit`: how many of a bulk job may be. `rate`: the requests a
    second that are kept to, None where none has been learned. `sent`: sends in all. `throttled`: answers 429.
    `tokens`: what is left for retries. `latency_p50`, `latency_p95`: seconds from a send to its answer, over the last
    1,000 answers, None before the first.
    """

    in_flight: int
    concurrency_limit: int
    rate: float | None
    sent: int
    throttled: int
    retry_tokens: int
    latency_p50: float | None
    latency_p95: float | None


class Throttle:
    """What everything sent with one credential tells about the server and is held to.

    `is_free`: nothing is to be kept to, and nobody has to ask for a turn. `took`: the seconds of the last success, None
    before the first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.is_unthrottled = True
        self.window = AimdWindow()
        self.budget = RetryBudget()
        self.limiter = AdaptiveLimiter()
        self.queue = FifoGate(clock, self._wait, lambda: None)
        self.sent = 0
        self.throttled = 0
        self.last_latency: float | None = None
        self.in_flight = 0
        self._external: Throttle | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._announced_until = -inf

    @property
    def external(self) -> "Throttle":
        """The pace of what goes to other addresses than the API's, which know nothing of its limits."""
        self._external = self._external or Throttle(self.clock)
        return self._external

    def retry_after_left(self) -> float:
        """Return the seconds for which the API has asked to be left alone, as far as they are not over."""
        return max(0.0, self.limiter.retry_after_until - self.clock())

    def on_sent(self) -> float:
        """Count a send; returns its moment, by which its outcome is to be told."""
        now = self.clock()
        self.sent += 1
        self.in_flight += 1
        self.limiter.on_sent(now)
        return now

    def on_done(self, sent: float | None) -> None:
        """Count a send as over, answered or not; None for one that never went."""
        self.in_flight -= sent is not None

    def on_response(self, sent: float, *, is_success: bool) -> None:
        """Take note of an answer that does not ask for less."""
        now = self.clock()
        self._latencies.append(now - sent)
        if is_success:
            self.last_latency = now - sent
            self.budget.refund()
        if self.is_unthrottled:
            return
        if self.limiter.on_response(sent, now):
            _logger.debug("the API takes requests again, kept to %s a second", self.limiter.estimate.rate)
        self.queue.wake()

    def on_throttled(self, sent: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        """Take note of an answer that asks for less: a 429 `is_for_pace`, a 503 with a Retry-After only for a pause."""
        now = self.clock()
        self.throttled += is_rate_limited
        self._latencies.append(now - sent)
        if self.is_unthrottled:
            self.is_unthrottled = False
            self.limiter.start(statistics.median(islice(reversed(self._latencies), _RECENT_LATENCIES)))
        self.limiter.on_throttled(sent, now, retry_after, is_rate_limited=is_rate_limited)
        if retry_after is not None and now >= self._announced_until:
            self._announced_until = now + retry_after
            _logger.log(_level(retry_after), "the API asked for a pause of %.1f s", retry_after)

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        latencies = sorted(self._latencies)
        return Stats(
            in_flight=self.in_flight,
            concurrency_limit=self.window.limit,
            rate=self.limiter.estimate.rate,
            sent=self.sent,
            throttled=self.throttled,
            retry_tokens=self.budget.tokens,
            latency_p50=latencies[len(latencies) // 2] if latencies else None,
            latency_p95=latencies[len(latencies) * 95 // 100] if latencies else None,
        )

    def _wait(self) -> float:
        now = self.clock()
        opens = self.limiter.next_send_at(now)
        if opens == -inf:
            self.is_unthrottled = True
        return max(0.0, opens - now)


def _level(pause: float) -> int:
    # Shorter ones come by the dozen where a server counts in fractions of a second, and nobody feels them.
    return logging.WARNING if pause >= 1 else logging.DEBUG
