"""Limiter of one bulk job: FIFO order, adaptive concurrency, and a rate limit if one is given."""

from math import inf
from typing import TYPE_CHECKING

from retab_async.throttle.rate_limit import RateLimit, SlidingWindow
from retab_async.throttle.throttle import Throttle
from retab_async.throttle.waiters import FifoGate

if TYPE_CHECKING:
    from retab_async.throttle.concurrency_window import AimdWindow


class BulkLimiter:
    """Concurrency and rate limiter of one bulk job, below the throttle that all calls share.

    One request at a time waits at the gate of the throttle, so that a job of thousands does not delay single calls.

    Args:
        throttle: Throttle of the credential.
        max_in_flight: Most requests of this job at once.
        rate_limit: A limit that is known from the start, None to learn it.

    Attributes:
        in_flight: Requests of this job that are in flight; those of other jobs count for the shared window alone.
    """

    def __init__(self, throttle: Throttle, max_in_flight: int, rate_limit: RateLimit | None) -> None:
        self.throttle = throttle
        self.concurrency: AimdWindow = throttle.concurrency
        self.max_in_flight = max_in_flight
        self.in_flight: int = 0
        self.known_rate: SlidingWindow | None = SlidingWindow(rate_limit) if rate_limit else None
        self._is_gate_taken = False
        # Shared by all requests of an epoch that are not limited: one object for each id would be measurable.
        self._shared_permit = Permit(self, self.concurrency.epoch)
        self._gate = FifoGate(throttle.clock, self._seconds_until_open, self._on_pass)

    @property
    def needs_slot(self) -> bool:
        """Whether a caller is queued that only the window can hold back."""
        if self._is_gate_taken or not len(self._gate) or self.in_flight >= self.max_in_flight:
            return False
        return self.known_rate is None or self.known_rate.seconds_until_free(self.throttle.clock()) <= 0

    @property
    def backlog(self) -> int:
        """Callers that wait for nothing but the window and the throttle."""
        free = 0 if self.known_rate is not None else max(0, self.max_in_flight - self.in_flight)
        return min(free, len(self._gate))

    def try_acquire(self) -> "Permit | None":
        """Return a permit at once where nothing limits the request; None means to `acquire` one.

        The permit has to be released. A finished sender reuses its slot before the waiters: waking one for every send
        would cost a loop iteration each.
        """
        concurrency = self.concurrency
        if (
            concurrency.in_flight >= concurrency.limit
            or self.in_flight >= self.max_in_flight
            or self.known_rate is not None
            or not self.throttle.is_unthrottled
            or (concurrency.waiting and not concurrency.is_turn_of(self))
        ):
            return None
        concurrency.in_flight += 1
        self.in_flight += 1
        if self._shared_permit.epoch != concurrency.epoch:
            self._shared_permit = Permit(self, concurrency.epoch)
        return self._shared_permit

    async def acquire(self) -> "Permit":
        """Wait until the next request may stand at the gate of the throttle; its permit has to be released."""
        if not self._gate.try_pass():
            waiting = self.concurrency.waiting
            waiting.add(self)
            has_passed = False
            try:
                await self._gate.wait_turn()
                has_passed = True
            finally:
                if not len(self._gate):
                    waiting.discard(self)
                if not has_passed:
                    # Another job may have left a free slot to this caller.
                    self.concurrency.wake()
        return Permit(self, self.concurrency.epoch, is_at_gate=True)

    def wake(self, free: int) -> None:
        """Wake as many waiters as there are free slots, but only the first where they go one at a time."""
        self._gate.wake(free if self.known_rate is None and self.throttle.is_unthrottled else min(free, 1))

    def leave_gate(self) -> None:
        """Let the next request stand at the gate of the throttle."""
        self._is_gate_taken = False
        self._gate.wake()

    def _seconds_until_open(self) -> float:
        concurrency = self.concurrency
        is_full = concurrency.in_flight >= concurrency.limit or self.in_flight >= self.max_in_flight
        if self._is_gate_taken or is_full or not concurrency.is_turn_of(self):
            return inf
        return self.known_rate.seconds_until_free(self.throttle.clock()) if self.known_rate is not None else 0.0

    def _on_pass(self) -> None:
        self._is_gate_taken = True
        self.concurrency.in_flight += 1
        self.in_flight += 1
        if self.known_rate is not None:
            self.known_rate.start()
            self.throttle.on_given(self.known_rate)
        if len(self.concurrency.waiting) > 1:
            # Another job may have left the slot to this one, and further slots may be free.
            self.concurrency.wake()


class Permit:
    """Permission for one request of a bulk job, or for each of those that are not limited.

    Attributes:
        epoch: Epoch of the concurrency limit in which the request was sent.
        is_at_gate: Whether the request still waits for its turn in the throttle.
    """

    __slots__ = ("_limiter", "epoch", "is_at_gate")

    def __init__(self, limiter: BulkLimiter, epoch: int, *, is_at_gate: bool = False) -> None:
        self._limiter = limiter
        self.epoch: int = epoch
        self.is_at_gate: bool = is_at_gate

    def mark_sent(self) -> None:
        """Leave the gate, which the request stands at, because it is sent now."""
        self.epoch = self._limiter.concurrency.epoch
        self._leave_gate()

    def on_throttled(self) -> None:
        """Decrease the concurrency: the request was throttled or its connection lost."""
        self._limiter.concurrency.decrease(self.epoch)

    def release(self, *, is_success: bool) -> None:
        """Return the slot after the request, sent or not."""
        limiter = self._limiter
        concurrency = limiter.concurrency
        if is_success and concurrency.limit < limiter.max_in_flight:
            concurrency.increase(limiter.max_in_flight)
        if self.is_at_gate:
            self._leave_gate()
        if limiter.known_rate is not None:
            limiter.known_rate.finish(limiter.throttle.clock())
        concurrency.in_flight -= 1
        limiter.in_flight -= 1
        if concurrency.waiting:
            concurrency.wake()

    def _leave_gate(self) -> None:
        self.is_at_gate = False
        self._limiter.leave_gate()
