"""Pool of the tasks of a bulk job."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class WorkerPool:
    """Pool of tasks; it starts them, tracks them and cancels them.

    Args:
        on_exit: Called with each task that has ended.
        name: The name of the tasks.

    Attributes:
        tasks: The tasks that have not ended.
    """

    def __init__(self, on_exit: "Callable[[asyncio.Task[None]], None]", name: str) -> None:
        self._on_exit = on_exit
        self._name = name
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work, name=self._name)
        self.tasks.add(task)
        task.add_done_callback(self._remove)

    def cancel(self) -> None:
        """Cancel all tasks."""
        for task in self.tasks:
            task.cancel()

    async def join(self) -> None:
        """Wait until all tasks have ended."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    def _remove(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        self._on_exit(task)
