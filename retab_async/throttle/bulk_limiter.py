"""The way of bulk work: in turn, so many in flight as the server bears, within a rate limit that is known."""

from math import inf

from retab_async.throttle.rate_limit import RateLimit, SlidingWindow
from retab_async.throttle.throttle import Throttle
from retab_async.throttle.waiters import FifoGate


class BulkLimiter:
    """Lets the sends of one job through, at most `most` in flight, in the pace that they share with all others.

    One at a time stands at the gate of the pace, so that a job of thousands does not keep single calls waiting.
    """

    def __init__(self, throttle: Throttle, max_in_flight: int, rate_limit: RateLimit | None) -> None:
        self.throttle = throttle
        self.window = throttle.window
        self.max_in_flight = max_in_flight
        self.rate_window = SlidingWindow(rate_limit) if rate_limit else None
        self._is_gate_taken = False
        # One for all that go freely between two cuts: every id comes this way, and making one for each would be felt.
        self._free = Permit(self, self.window.epoch)
        self._gate = FifoGate(throttle.clock, self._wait, self._go)

    def try_acquire(self) -> "Permit | None":
        """Go at once where nothing is to be kept to; None means to `enter`. Also this passage has to be ended.

        Whoever comes back goes again before those who wait: to wake one would cost a turn of the loop for each.
        """
        window = self.window
        is_full = window.in_flight >= window.limit or window.in_flight >= self.max_in_flight
        if is_full or self.rate_window is not None or not self.throttle.is_unthrottled:
            return None
        window.in_flight += 1
        if self._free.epoch != window.epoch:
            self._free = Permit(self, window.epoch)
        return self._free

    async def acquire(self) -> "Permit":
        """Wait until the next send may go to the gate; its passage has to be ended, whatever becomes of it."""
        if not self._gate.try_pass():
            lanes = self.window.waiting
            lanes.add(self)
            try:
                await self._gate.wait_turn()
            finally:
                if not len(self._gate):
                    lanes.discard(self)
        return Permit(self, self.window.epoch, is_at_gate=True)

    def wake(self, room: int) -> None:
        """Have those who wait look again, as many as there is room for; only the first where they go one at a time."""
        self._gate.wake(room if self.rate_window is None and self.throttle.is_unthrottled else min(room, 1))

    def leave_gate(self) -> None:
        """Let the next one come to the gate."""
        self._is_gate_taken = False
        self._gate.wake()

    def _wait(self) -> float:
        window = self.window
        if self._is_gate_taken or window.in_flight >= window.limit or window.in_flight >= self.max_in_flight:
            return inf
        return self.rate_window.wait(self.throttle.clock()) if self.rate_window is not None else 0.0

    def _go(self) -> None:
        self._is_gate_taken = True
        self.window.in_flight += 1
        if self.rate_window is not None:
            self.rate_window.start()


class Permit:
    """One send on a lane, or each of those that go freely; `cuts` are those of the window when it set out.

    `is_at_gate`: it stands there, and sets out when its turn in the pace has come.
    """

    __slots__ = ("_limiter", "epoch", "is_at_gate")

    def __init__(self, limiter: BulkLimiter, epoch: int, *, is_at_gate: bool = False) -> None:
        self._limiter = limiter
        self.epoch = epoch
        self.is_at_gate = is_at_gate

    def mark_sent(self) -> None:
        """Leave the gate, at which it is: its turn has come, it is sent."""
        self.epoch = self._limiter.window.epoch
        self._leave_gate()

    def on_throttled(self) -> None:
        """Take note of a refusal for pace, or of a connection that was lost."""
        self._limiter.window.decrease(self.epoch)

    def release(self, *, is_success: bool) -> None:
        """Take note of its end, set out or not, and give back what it took."""
        lane, window = self._limiter, self._limiter.window
        if is_success and window.limit < lane.max_in_flight:
            window.increase(lane.max_in_flight)
        if self.is_at_gate:
            self._leave_gate()
        if lane.rate_window is not None:
            lane.rate_window.finish(lane.throttle.clock())
        window.in_flight -= 1
        if window.waiting:
            window.wake()

    def _leave_gate(self) -> None:
        self.is_at_gate = False
        self._limiter.leave_gate()
