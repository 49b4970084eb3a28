"""Abort scope: a block of a task that something outside of the task can end, with an error of its own."""

import asyncio
from types import TracebackType
from typing import Any, Self


class AbortScope:
    """An `async with` that `abort` ends with an error, as `asyncio.timeout` ends a block with a `TimeoutError`.

    The task is cancelled at its suspension point, and leaving the block turns this `CancelledError` into the error. A
    cancellation that someone else requested, also at the same time, propagates instead; `Task.cancelling()` then counts
    that one alone. A block that has completed raises nothing.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            msg = "there is no current task: enter this block inside a coroutine that asyncio runs"
            raise RuntimeError(msg)
        # A cancellation that was requested before is raised here: inside the block it would pass for that of `abort`.
        await asyncio.sleep(0)
        self._task = task
        self._cancelling = task.cancelling()
        return self

    def abort(self, error: Exception) -> None:
        """End the block with an error; without effect outside of the block, and after the first time."""
        if self._task is not None and self._error is None:
            self._error = error
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is None or self._error is None:
            return
        is_ours = task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise self._error from error
