"""A line of those who wait for a moment, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

# The shortest nap, in seconds: a moment that is nearer is not worth a timer of its own.
_SHORTEST = 0.0005


class TooLateError(Exception):
    """Whose turn would come only after the moment at which it is of no use any more."""


class Line:
    """Lets one after the other pass, each as soon as `wait` says that it may.

    `wait` returns the seconds until the next may go, `inf` where only a `nudge` can tell; `go` is called in the same
    moment in which one goes, so that the next one's wait can count it. Those who are urgent come before all others.
    """

    def __init__(self, clock: Callable[[], float], wait: Callable[[], float], go: Callable[[], None]) -> None:
        self._clock = clock
        self._wait = wait
        self._go = go
        self._queue: deque[asyncio.Future[None]] = deque()
        # How many of them are urgent.
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._queue)

    def passes(self) -> bool:
        """Go at once if nobody waits and it is time; False means to `stand`."""
        if self._queue or self._wait() > 0:
            return False
        self._go()
        return True

    async def stand(self, ends: float = inf, *, is_urgent: bool = False) -> None:
        """Wait for the turn, and go; raises `TooLateError` as soon as it is plain that it comes only after `ends`."""
        loop = asyncio.get_running_loop()
        bell: asyncio.Future[None] = loop.create_future()
        self._queue.insert(self._urgent if is_urgent else len(self._queue), bell)
        self._urgent += is_urgent
        try:
            while (seconds := self._seconds(bell, ends)) > 0:
                await _nap(loop, bell, seconds)
                bell = self._renewed(bell, loop)
            self._go()
        finally:
            self._queue.remove(bell)
            self._urgent -= is_urgent
            # Whoever is first now has to look for itself, also where this one was cancelled in its own moment.
            self.nudge()

    def nudge(self, count: int = 1) -> None:
        """Have the first in the line look again, or as many as there may be room for, one after the other."""
        for bell in islice(self._queue, count):
            _ring(bell)

    def _seconds(self, bell: "asyncio.Future[None]", ends: float) -> float:
        left = ends - self._clock()
        wait = self._wait()
        if left <= 0 or left < wait < inf:
            raise TooLateError
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
