"""Bounded queue between a bulk job and the consumer of its outcomes."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from retab_async.throttle import FifoSemaphore

OutcomeT = TypeVar("OutcomeT")


class OutcomeQueue(Generic[OutcomeT]):
    """Bounded queue of outcomes, in the order of completion or of the items.

    A slot is reserved before an item is taken from its source and released when its outcome is consumed, so that a slow
    consumer stops the job and `put` never waits.
    """

    def __init__(self, slots: FifoSemaphore, *, in_order: bool) -> None:
        self._slots = slots
        self._in_order = in_order
        self._next_number = 0
        self._early: dict[int, OutcomeT | None] = {}
        self._ready: deque[OutcomeT] = deque()
        self._has_changed = asyncio.Event()
        self._is_closed = False

    def put(self, number: int, outcome: OutcomeT) -> None:
        """Add the outcome of the item with this number, counted from 0."""
        if self._in_order:
            self._put_in_order(number, outcome)
        else:
            self._ready.append(outcome)
        self._has_changed.set()

    def skip(self, number: int) -> None:
        """Wait for no outcome of the item with this number."""
        if self._in_order:
            self._put_in_order(number, None)
            self._has_changed.set()

    def _put_in_order(self, number: int, outcome: OutcomeT | None) -> None:
        self._early[number] = outcome
        while self._next_number in self._early:
            first = self._early.pop(self._next_number)
            self._next_number += 1
            if first is not None:
                self._ready.append(first)

    def close(self) -> None:
        """Mark the end of the outcomes."""
        self._is_closed = True
        self._has_changed.set()

    def clear(self) -> None:
        """Drop the outcomes that were not consumed."""
        self._ready.clear()

    async def get(self) -> OutcomeT | None:
        """Return the next outcome; None after the last one."""
        while not self._ready:
            if self._is_closed:
                return None
            self._has_changed.clear()
            await self._has_changed.wait()
        self._slots.release()
        return self._ready.popleft()
