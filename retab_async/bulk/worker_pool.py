"""A crew: tasks that share one piece of work."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class WorkerPool:
    """At most so many workers, taken on one by one; whoever has a crew dismisses it.

    `on_failure` is called with what a worker raised, `on_end` when the last one has ended.
    """

    def __init__(self, most: int, *, on_failure: Callable[[BaseException], None], on_end: Callable[[], None]) -> None:
        self._work: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._most = most
        self._on_failure = on_failure
        self._on_end = on_end
        self._workers: set[asyncio.Task[None]] = set()
        self._dismissed: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take on the first one, who does this work, as all others will."""
        self._work = work
        self.spawn()

    def spawn(self) -> bool:
        """Take on one more, if there may be more; tells whether there may."""
        if len(self._workers) < self._most and self._work is not None:
            worker = asyncio.get_running_loop().create_task(self._work(), name="retab_async cancel_many")
            self._workers.add(worker)
            worker.add_done_callback(self._leave)
        return len(self._workers) < self._most

    def cancel(self, workers: Iterable["asyncio.Task[Any]"] | None = None) -> None:
        """Cancel some workers, or all."""
        for worker in tuple(self._workers if workers is None else workers):
            self._dismissed.add(worker)
            worker.cancel()

    async def finish(self) -> None:
        """Wait until the last worker has ended."""
        await self._is_over.wait()

    async def abort(self) -> None:
        """Cancel all workers and wait until they have ended.

        Where its caller is cancelled and cannot wait, they end by themselves in the next turns of the loop.
        """
        self.cancel()
        while self._workers:
            await asyncio.wait(self._workers)

    def _leave(self, worker: "asyncio.Task[None]") -> None:
        self._workers.discard(worker)
        # One that was cancelled by nobody here: whoever makes the ids was cancelled.
        failure = asyncio.CancelledError() if worker.cancelled() else worker.exception()
        if failure is not None and worker not in self._dismissed:
            self._on_failure(failure)
        self._dismissed.discard(worker)
        if not self._workers:
            self._is_over.set()
            self._on_end()


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
