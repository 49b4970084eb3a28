"""Places: so many requests in flight, and a queue for the others."""

import asyncio
from collections import deque


class Places:
    """So many places, handed out in the order in which they were asked for.

    A semaphore in all but its cost: taking a place that is free is a plain call, with no coroutine and no scan of those
    who wait, on the way of every request.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free; False means to `wait` for one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, seconds: float | None) -> None:
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
                self.give_back()

    def give_back(self) -> None:
        """Hand a place to the first who waits and has not given up, or keep it free."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
