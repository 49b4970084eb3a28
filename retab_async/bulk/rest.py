"""Where workers rest that have nothing to do for now."""

import asyncio
from collections import deque


class Rest:
    """Those who rest, first come, first woken."""

    def __init__(self) -> None:
        self._resting: deque[asyncio.Future[None]] = deque()

    async def until_woken(self) -> None:
        """Rest."""
        turn = asyncio.get_running_loop().create_future()
        self._resting.append(turn)
        await turn

    def wake(self) -> None:
        """Let all who rest see what there is to do."""
        while self._resting:
            self.wake_one()

    def wake_one(self) -> None:
        """Let one who rests see what there is to do."""
        while self._resting:
            turn = self._resting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
