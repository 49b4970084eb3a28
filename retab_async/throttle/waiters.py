"""A line of those who wait for a moment, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

# The shortest nap, in seconds: a moment that is nearer is not worth a timer of its own.
_SHORTEST = 0.0005


class TurnDeadlineError(Exception):
    """Whose turn would come only after the moment at which it is of no use any more."""


class FifoGate:
    """Lets one after the other pass, each as soon as `wait` says that it may.

    `wait` returns the seconds until the next may go, `inf` where only a `nudge` can tell; `go` is called in the same
    moment in which one goes, so that the next one's wait can count it. Those who are urgent come before all others.
    """

    def __init__(self, clock: Callable[[], float], wait: Callable[[], float], go: Callable[[], None]) -> None:
        self._clock = clock
        self._wait = wait
        self._on_pass = go
        self._queue: deque[asyncio.Future[None]] = deque()
        # How many of them are urgent.
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._queue)

    def try_pass(self) -> bool:
        """Go at once if nobody waits and it is time; False means to `stand`."""
        if self._queue or self._wait() > 0:
            return False
        self._on_pass()
        return True

    async def wait_turn(self, deadline: float = inf, *, is_urgent: bool = False) -> None:
        """Wait for the turn, and go; raises `TooLateError` as soon as it is plain that it comes only after `ends`."""
        loop = asyncio.get_running_loop()
        bell: asyncio.Future[None] = loop.create_future()
        self._queue.insert(self._urgent if is_urgent else len(self._queue), bell)
        self._urgent += is_urgent
        try:
            while (seconds := self._seconds(bell, deadline)) > 0:
                await _nap(loop, bell, seconds)
                bell = self._renewed(bell, loop)
            self._on_pass()
        finally:
            self._queue.remove(bell)
            self._urgent -= is_urgent
            # Whoever is first now has to look for itself, also where this one was cancelled in its own moment.
            self.wake()

    def wake(self, count: int = 1) -> None:
        """Have the first in the line look again, or as many as there may be room for, one after the other."""
        for bell in islice(self._queue, count):
            _ring(bell)

    def _seconds(self, bell: "asyncio.Future[None]", ends: float) -> float:
        left = ends - self._clock()
        wait = self._wait()
        if left <= 0 or left < wait < inf:
            raise TurnDeadlineError
        return min(wait, left) if self._queue[0] is bell else left

    def _renewed(self, bell: "asyncio.Future[None]", loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        fresh: asyncio.Future[None] = loop.create_future()
        self._queue[self._queue.index(bell)] = fresh
        return fresh


async def _nap(loop: asyncio.AbstractEventLoop, bell: "asyncio.Future[None]", seconds: float) -> None:
    alarm = None if seconds == inf else loop.call_later(max(seconds, _SHORTEST), _ring, bell)
    try:
        await bell
    finally:
        if alarm is not None:
            alarm.cancel()


def _ring(bell: "asyncio.Future[None]") -> None:
    if not bell.done():
        bell.set_result(None)


class FifoSemaphore:
    """So many places, handed out in the order in which they were asked for.

    A semaphore in all but its cost: taking a place that is free is a plain call, with no coroutine and no scan of those
    who wait, on the way of every request.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a place if one is free; False means to `wait` for one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def acquire(self, seconds: float | None) -> None:
        """Wait for a place that another one gives back; raises `TimeoutError` after so many seconds, if any."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        came = False
        try:
            async with asyncio.timeout(seconds):
                await turn
            came = True
        finally:
            # Cancelled in the moment in which the turn came: the next one is to have it.
            if not came and turn.done() and not turn.cancelled():
                self.release()

    def release(self) -> None:
        """Hand a place to the first who waits and has not given up, or keep it free."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
