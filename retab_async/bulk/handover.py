"""From the crew to whoever iterates over the outcomes: so many at the most, then nothing more is taken."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from retab_async.bulk.outcomes import CancelOutcome
from retab_async.models import Run

if TYPE_CHECKING:
    from collections.abc import Callable

RunT = TypeVar("RunT", bound=Run)


class Handover(Generic[RunT]):
    """Outcomes on their way, as they come or in the order of their numbers; handing one over never waits.

    Instead no more than `room` ids are to be under way between the source and the consumer: `is_full` tells when, and
    `on_room` is called when there is room for one more.
    """

    def __init__(self, room: int, *, in_order: bool) -> None:
        self._room = room
        self._in_order = in_order
        self._consumed = 0
        self._next = 0
        self._early: dict[int, CancelOutcome[RunT]] = {}
        self._ready: deque[CancelOutcome[RunT]] = deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self.on_room: Callable[[], None] = lambda: None

    def is_full(self, taken: int) -> bool:
        """Tell whether, with so many ids taken, the consumer has to take some outcomes first."""
        return taken - self._consumed >= self._room

    def put(self, number: int, outcome: CancelOutcome[RunT]) -> None:
        """Hand an outcome over, of the id of that number, counted from 0."""
        if self._in_order:
            self._early[number] = outcome
            while self._next in self._early:
                self._ready.append(self._early.pop(self._next))
                self._next += 1
        else:
            self._ready.append(outcome)
        self._news.set()

    def close(self) -> None:
        """Say that there will be no more."""
        self._is_closed = True
        self._news.set()

    def clear(self) -> None:
        """Drop what nobody will take any more."""
        self._ready.clear()

    async def take(self) -> CancelOutcome[RunT] | None:
        """Return the next outcome, or None after the last one."""
        while not self._ready:
            if self._is_closed:
                return None
            self._news.clear()
            await self._news.wait()
        self._consumed += 1
        self.on_room()
        return self._ready.popleft()
