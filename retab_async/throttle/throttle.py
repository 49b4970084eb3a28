"""Throttle of one credential: the learned rate, concurrency and retry budget of all its calls, and their statistics."""

import logging
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from itertools import islice
from math import inf
from typing import Literal, TypeAlias

import attrs

from retab_async.throttle.adaptive_limiter import AdaptiveLimiter
from retab_async.throttle.concurrency_window import AimdWindow
from retab_async.throttle.rate_limit import LocalLimiter, RateLimit, SlidingWindow
from retab_async.throttle.shared_limiter import SharedLimiter
from retab_async.throttle.slots import Demand, SharedRateLimit
from retab_async.throttle.waiters import FifoGate

_MAX_TOKENS = 500
# Tokens that only cancels may spend.
_CANCEL_RESERVE = 100
_TRANSIENT_COST = 14
_THROTTLED_COST = 5

_logger = logging.getLogger("retab_async")
# A child, so that the command can show its warnings alone.
_sharing_logger = logging.getLogger("retab_async.shared_limit")


class RetryBudget:
    """Token budget of retries: a retry costs several tokens, a success returns one.

    Attributes:
        tokens: Tokens left, 500 at first; the last 100 are reserved for cancels.
    """

    def __init__(self) -> None:
        self.tokens: int = _MAX_TOKENS
        self._is_exhaustion_logged = False

    def spend(self, *, is_throttled: bool, is_cancel: bool) -> bool:
        """Pay for a retry, and return whether there is to be one."""
        cost = _THROTTLED_COST if is_throttled else _TRANSIENT_COST
        if self.tokens - cost >= (0 if is_cancel else _CANCEL_RESERVE):
            self.tokens -= cost
            return True
        if not self._is_exhaustion_logged:
            self._is_exhaustion_logged = True
            _logger.warning("retry budget exhausted: failed calls are not retried until others succeed")
        return False

    def refund(self) -> None:
        """Return a token for a success."""
        self.tokens = min(self.tokens + 1, _MAX_TOKENS)
        if self.tokens == _MAX_TOKENS:
            self._is_exhaustion_logged = False


_KEPT_LATENCIES = 1000
# As many latencies tell the current round trip.
_RECENT_LATENCIES = 32


RateOrigin: TypeAlias = Literal["given", "shared", "learned", "none"]


@attrs.frozen(kw_only=True)
class Stats:
    """Statistics of the calls with one key.

    Attributes:
        in_flight: Requests sent and not yet answered.
        concurrency_limit: Requests of bulk jobs that may be in flight, learned from responses.
        rate: Requests a second of the limit in force, None where there is none.
        rate_origin: Where it comes from: `given`, the `RateLimit` of the client, or of its running bulk jobs together;
            `shared`, a limit shared with other processes; `learned`, from responses, if that is less; or `none`. A
            shared limit whose store is unavailable is `given`.
        sent: Requests sent in all, without those of `resent`.
        resent: Requests sent again, uncounted, because the server had closed a kept-alive connection.
        throttled: Responses with status 429.
        retry_tokens: Tokens left in the retry budget, at most 500.
        latency_p50: Median seconds from a request to its response over the last 1,000 responses, None before the first.
        latency_p95: 95th percentile of the same.
    """

    in_flight: int
    concurrency_limit: int
    rate: float | None
    rate_origin: RateOrigin
    sent: int
    resent: int
    throttled: int
    retry_tokens: int
    latency_p50: float | None
    latency_p95: float | None


class Priority(Enum):
    """What a request that waits for its turn is: a cleanup or single cancel, a cancel of a bulk job, or any call."""

    URGENT = auto()
    BULK = auto()
    CALL = auto()


class Throttle:
    """Adaptive throttle shared by all requests with one credential.

    Args:
        clock: Monotonic seconds.
        rate_limit: A limit that is known from the start, None to learn it.
        fingerprint: Hash of the credential, for the store of a shared limit.
        is_external: Whether its requests go to other hosts, without the credential.

    Attributes:
        given: Limiter of the given rate limit, None without one.
        is_unthrottled: Whether nothing limits the requests, so that none has to wait for its turn in the queue.
        last_latency: Seconds that the last success took, None before the first.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rate_limit: RateLimit | SharedRateLimit | None = None,
        fingerprint: str = "",
        *,
        is_external: bool = False,
    ) -> None:
        self.clock = clock
        self.is_unthrottled: bool = rate_limit is None
        self.concurrency: AimdWindow = AimdWindow()
        self.budget: RetryBudget = RetryBudget()
        self.limiter: AdaptiveLimiter = AdaptiveLimiter()
        self.queue: FifoGate = FifoGate(clock, self._seconds_until_open, lambda: None)
        self.sent: int = 0
        self.throttled: int = 0
        self.resent: int = 0
        self.last_latency: float | None = None
        self.in_flight: int = 0
        self.given: LocalLimiter | SharedLimiter | None = None
        if isinstance(rate_limit, SharedRateLimit):
            store = rate_limit.open_store(fingerprint)
            self.given = SharedLimiter(
                rate_limit, store, clock, self._demand, self.queue.wake, forget_learned=self.limiter.estimate.reset
            )
        elif rate_limit is not None:
            self.given = LocalLimiter(rate_limit, self._demand, self.queue.wake)
        self._waiting = dict.fromkeys(Priority, 0)
        self._is_adapting = False
        self._external: Throttle | None = None
        self._job_limits: set[SlidingWindow] = set()
        self._latencies: deque[float] = deque(maxlen=_KEPT_LATENCIES)
        self._logged_until = -inf
        # The advice in it is about the credential.
        self._is_reduction_logged = is_external

    @property
    def external(self) -> "Throttle":
        """Throttle of the requests to hosts other than the API's, whose limits are their own."""
        self._external = self._external or Throttle(self.clock, is_external=True)
        return self._external

    def retry_after_left(self) -> float:
        """Return the seconds for which a Retry-After still holds back every request."""
        return max(0.0, self.limiter.blocked_until - self.clock())

    def closed_seconds(self) -> float:
        """Return the seconds for which a Retry-After or the given limit lets no request pass, as far as known."""
        left = self.retry_after_left()
        return left if self.given is None else max(left, self.given.closed_seconds(self.clock()))

    def is_kept(self) -> bool:
        """Return whether a Retry-After or requests of the given limit's period are still to be considered."""
        return self.retry_after_left() > 0 or (self.given is not None and self.given.is_in_use(self.clock()))

    def full_retry_after_left(self) -> float:
        """Return the seconds that are left of a Retry-After, those included in which a request may probe."""
        return max(0.0, self.limiter.retry_after_until - self.clock())

    def try_pass(self) -> bool:
        """Take a turn at once, without regard to priorities; False means to `wait_turn`."""
        return self.is_unthrottled or (self.given is None and self.queue.try_pass())

    async def wait_turn(self, deadline: float, priority: Priority) -> None:
        """Wait for a turn, as soon as it may come after the deadline `TurnDeadlineError`; `on_sent` has to follow."""
        self._waiting[priority] += 1
        try:
            await self.queue.wait_turn(deadline, is_urgent=priority is Priority.URGENT)
        finally:
            self._waiting[priority] -= 1

    def on_sent(self) -> float:
        """Count a request and return when; exactly one of `on_response`, `on_throttled` and `on_lost` has to follow."""
        now = self.clock()
        self.sent += 1
        self.in_flight += 1
        self.limiter.on_sent(now)
        if self.given is not None:
            self._on_given_sent(self.given)
        return now

    def _on_given_sent(self, given: LocalLimiter | SharedLimiter) -> None:
        given.start()

    def on_lost(self) -> None:
        """Record that a request ended without a response."""
        self.in_flight -= 1
        if self.given is not None:
            self.given.finish(self.clock())

    def on_response(self, sent: float, *, is_success: bool) -> None:
        """Record a response that does not throttle."""
        now = self.clock()
        self.in_flight -= 1
        if self.given is not None:
            self.given.finish(now)
        self._latencies.append(now - sent)
        if is_success:
            self.last_latency = now - sent
            if self.budget.tokens < _MAX_TOKENS:
                self.budget.refund()
        if not self._is_adapting:
            return
        if self.limiter.on_response(sent, now):
            rate = self.limiter.estimate.rate
            limit = "no rate limit learned" if rate is None else f"limited to {rate:.3g} requests a second"
            _logger.debug("the API accepts requests again: %s", limit)
            self._log_reduction()
        self.queue.wake()

    def _log_reduction(self) -> None:
        estimate = self.limiter.estimate
        if self._is_reduction_logged or not estimate.is_reduced or isinstance(self.given, SharedLimiter):
            return
        self._is_reduction_logged = True
        _sharing_logger.warning(
            "the API accepts %.3g requests a second now, after %.3g: if another process uses this key, give both one "
            "limit, with FileRateLimit or --rate-limit and --shared",
            estimate.rate,
            estimate.best_rate,
        )

    def on_throttled(self, sent: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        """Record a response that throttles.

        Args:
            sent: When the request was sent.
            retry_after: Seconds, None where the response does not tell.
            is_rate_limited: Whether the response is a 429, not a 503 that asks for a pause alone.
        """
        now = self.clock()
        self.in_flight -= 1
        self.throttled += is_rate_limited
        self._latencies.append(now - sent)
        if not self._is_adapting:
            self._is_adapting = True
            self.is_unthrottled = False
            recent = sorted(islice(reversed(self._latencies), _RECENT_LATENCIES))
            self.limiter.start(recent[len(recent) // 2])
        self.limiter.on_throttled(sent, now, retry_after, is_rate_limited=is_rate_limited)
        if self.given is not None:
            self.given.on_throttled(now, retry_after)
            self.given.finish(now)
        if retry_after is not None and now >= self._logged_until:
            self._logged_until = now + retry_after
            _logger.log(_log_level(retry_after), "the API asked for a pause of %.1f s", retry_after)

    def on_given(self, limit: SlidingWindow) -> None:
        """Record that a bulk job keeps to a given limit."""
        self._job_limits.add(limit)

    def stats(self) -> Stats:
        """Return the current statistics."""
        latencies = sorted(self._latencies)
        rate, origin = self._rate()
        return Stats(
            in_flight=self.in_flight,
            concurrency_limit=self.concurrency.limit,
            rate=rate,
            rate_origin=origin,
            sent=self.sent,
            resent=self.resent,
            throttled=self.throttled,
            retry_tokens=self.budget.tokens,
            latency_p50=latencies[len(latencies) // 2] if latencies else None,
            latency_p95=latencies[len(latencies) * 95 // 100] if latencies else None,
        )

    def _rate(self) -> tuple[float | None, RateOrigin]:
        now = self.clock()
        self._job_limits = {window for window in self._job_limits if window.is_in_use(now)}
        limits: list[tuple[float, RateOrigin]] = []
        if self.limiter.estimate.rate is not None:
            limits.append((self.limiter.estimate.rate, "learned"))
        if self.given is not None:
            limits.append((self.given.limit.rate, "given" if self.given.is_alone else "shared"))
        if self._job_limits:
            limits.append((sum(window.limit.rate for window in self._job_limits), "given"))
        return min(limits, default=(None, "none"), key=lambda limit: limit[0])

    def _demand(self) -> Demand:
        if self._is_adapting:
            # One at a time, each in its moment: more slots would only be kept from other processes.
            now = self.clock()
            is_open = len(self.queue) > 0 and self.limiter.next_send_at(now) <= now
            is_urgent = self._waiting[Priority.URGENT] > 0
            return Demand(int(is_open and is_urgent), int(is_open and not is_urgent), has_calls=False)
        calls = self._waiting[Priority.CALL]
        bulk = self._waiting[Priority.BULK] + self.concurrency.backlog
        return Demand(self._waiting[Priority.URGENT], calls + bulk, calls > 0)

    def _seconds_until_open(self) -> float:
        now = self.clock()
        next_send_at = self.limiter.next_send_at(now) if self._is_adapting else -inf
        if next_send_at == -inf:
            self._is_adapting = False
            self.is_unthrottled = self.given is None
        if next_send_at > now or self.given is None:
            return max(0.0, next_send_at - now)
        return self.given.seconds_until_free(now)


def _log_level(pause: float) -> int:
    # A server that counts in fractions of a second asks for dozens of short pauses that have no visible effect.
    return logging.WARNING if pause >= 1 else logging.DEBUG
