"""FIFO waiter queue, and what is built on it: a timed gate and a semaphore."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

# Seconds: an earlier wakeup is not worth a timer of its own.
_MIN_SLEEP = 0.0005


class QueuedWaiter:
    """One waiting task in a `WaiterQueue`.

    Attributes:
        is_urgent: Whether it stands before those that are not.
        is_queued: Whether it is in the queue.
        is_woken: Whether its last sleep ended by `wake`, not by time or cancellation.
    """

    __slots__ = ("_future", "is_queued", "is_urgent", "is_woken")

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent: bool = is_urgent
        self.is_queued: bool = True
        self.is_woken: bool = False
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> bool:
        """End the sleep; return False if it has ended already."""
        if self._future is None or self._future.done():
            return False
        self.is_woken = True
        self._future.set_result(None)
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait until woken, for at most that many seconds; `inf` for no limit."""
        loop = asyncio.get_running_loop()
        self.is_woken = False
        self._future = future = loop.create_future()
        timer = None if seconds == inf else loop.call_later(max(seconds, _MIN_SLEEP), _time_out, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()


def _time_out(future: "asyncio.Future[None]") -> None:
    # The wakeup may have come in the same iteration of the loop.
    if not future.done():
        future.set_result(None)


class WaiterQueue(deque[QueuedWaiter]):
    """FIFO queue of waiting tasks, the urgent ones before all others; tasks `join` and `leave` it."""

    def __init__(self) -> None:
        super().__init__()
        self._urgent = 0

    def join(self, *, is_urgent: bool = False) -> QueuedWaiter:
        """Queue a new waiter."""
        waiter = QueuedWaiter(is_urgent=is_urgent)
        self.insert(self._urgent if is_urgent else len(self), waiter)
        self._urgent += is_urgent
        return waiter

    def leave(self, waiter: QueuedWaiter) -> None:
        """Remove a waiter, if it is still queued."""
        if waiter.is_queued:
            waiter.is_queued = False
            self.remove(waiter)
            self._urgent -= waiter.is_urgent

    def wake(self, count: int = 1) -> None:
        """Wake the first N waiters, which stay queued until they leave."""
        for waiter in islice(self, count):
            waiter.wake()


class TurnDeadlineError(Exception):
    """The caller's turn would come only after its deadline."""


class FifoGate:
    """Timed FIFO gate: lets tasks pass one after the other, each as soon as `seconds_until_open` allows.

    Args:
        clock: Monotonic seconds, as the deadlines are.
        seconds_until_open: Returns the seconds until the next may pass, `inf` where only `wake` can tell.
        on_pass: Called in the moment in which one passes, so that it counts before the next one is considered.
    """

    def __init__(
        self, clock: Callable[[], float], seconds_until_open: Callable[[], float], on_pass: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._seconds_until_open = seconds_until_open
        self._on_pass = on_pass
        self._queue = WaiterQueue()

    def __len__(self) -> int:
        return len(self._queue)

    def try_pass(self) -> bool:
        """Pass at once if the gate is open and the queue empty; False means to `wait_turn`."""
        if self._queue or self._seconds_until_open() > 0:
            return False
        self._on_pass()
        return True

    async def wait_turn(self, deadline: float = inf, *, is_urgent: bool = False) -> None:
        """Wait for the caller's turn, and pass.

        Args:
            deadline: The latest moment to pass, in seconds of the clock.
            is_urgent: Whether to stand before those that are not.

        Raises:
            TurnDeadlineError: As soon as the turn can only come after the deadline.
        """
        waiter = self._queue.join(is_urgent=is_urgent)
        try:
            while (seconds := self._seconds_left(waiter, deadline)) > 0:
                await waiter.sleep(seconds)
            self._on_pass()
        finally:
            self._queue.leave(waiter)
            # The next one has to set its own timer, also where this one was cancelled just as its turn came.
            self.wake()

    def wake(self, count: int = 1) -> None:
        """Make the first N waiters check again whether the gate is open, in their order."""
        self._queue.wake(count)

    def _seconds_left(self, waiter: QueuedWaiter, deadline: float) -> float:
        left = deadline - self._clock()
        closed = self._seconds_until_open()
        if left <= 0 or left < closed < inf:
            raise TurnDeadlineError
        return min(closed, left) if self._queue[0] is waiter else left


class FifoSemaphore:
    """FIFO semaphore whose free slots are taken by a plain call, with a reserve for urgent holders.

    Unlike `asyncio.Semaphore` it needs neither a coroutine nor a scan of the waiters where a slot is free, which is on
    the way of every request. If others hold all slots, urgent ones get further slots, up to the reserve; urgent ones
    alone never hold more than `count`.

    Args:
        count: Number of slots.
        reserve: Number of slots that urgent holders can always have, at most `count`.
    """

    def __init__(self, count: int, reserve: int = 0) -> None:
        # Below 0 while urgent holders have slots beyond the count.
        self._free = count
        self._reserve = reserve
        self._urgent_held = 0
        self._queue = WaiterQueue()

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a slot."""
        return len(self._queue)

    def try_acquire(self, *, is_urgent: bool = False) -> bool:
        """Take a free slot; False means to `acquire` one."""
        if self._free <= 0 and not (is_urgent and self._urgent_held < self._reserve):
            return False
        self._free -= 1
        self._urgent_held += is_urgent
        return True

    async def acquire(self, seconds: float | None, *, is_urgent: bool = False) -> None:
        """Wait for a released slot.

        Args:
            seconds: How long to wait, None for no limit.
            is_urgent: Whether to stand before those that are not, and to use the reserve.

        Raises:
            TimeoutError: No slot was released in that time.
        """
        waiter = self._queue.join(is_urgent=is_urgent)
        is_acquired = False
        try:
            await waiter.sleep(inf if seconds is None else seconds)
            is_acquired = waiter.is_woken
        finally:
            self._queue.leave(waiter)
            if waiter.is_woken and not is_acquired:
                # Cancelled just as its turn came.
                self.release(is_urgent=is_urgent)
        if not is_acquired:
            raise TimeoutError

    def release(self, *, is_urgent: bool = False) -> None:
        """Hand the slot to the first waiter, or keep it free; `is_urgent` as it was acquired."""
        self._free += 1
        self._urgent_held -= is_urgent
        while self._queue and self.try_acquire(is_urgent=self._queue[0].is_urgent):
            waiter = self._queue[0]
            self._queue.leave(waiter)
            if not waiter.wake():
                # Timed out or cancelled just before.
                self._free += 1
                self._urgent_held -= waiter.is_urgent
