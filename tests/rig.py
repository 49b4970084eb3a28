"""The frame round every fault: what must hold of a client, of its loop and of its process whatever has happened."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from clients import connections_in_use
from raw_server import until

from retab_async import AsyncRetab


def tasks() -> "set[asyncio.Task[Any]]":
    """All tasks, but for those in which servers of the tests serve their connections."""
    served = ("RequestHandler", "RawServer.serve", "_accept_connection2")
    return {task for task in asyncio.all_tasks() if not any(name in repr(task.get_coro()) for name in served)}


def descriptors() -> int:
    """How many files and sockets the process has open; 0 where that cannot be told."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


class Whole:
    """A client as it was when it was fresh, to be compared with what became of it.

    What a client comes to own, such as a budget or a journal, gets its line in `check`.
    """

    def __init__(self, client: AsyncRetab) -> None:
        self._client = client
        self._free = client._pool.places._free
        self.tasks = tasks()

    async def check(self) -> None:
        """Assert that nothing is held, nothing waits, and nothing is owed."""
        await until(lambda: self._client._janitor.is_idle)
        await until(lambda: tasks() <= self.tasks | {asyncio.current_task()})

        assert self._client._pool.closed or connections_in_use(self._client) == 0
        assert self._client._pool.places._free == self._free
        assert not [turn for turn in self._client._pool.places._queue if not turn.done()]
        assert self._client._janitor.unconfirmed == ()
