"""Where the ids come from: any iterable, asynchronous ones too, from which each worker takes the next."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from typing import Generic, TypeVar

from retab_async.arguments import refuse

T = TypeVar("T")


class Source(Generic[T]):
    """The items of an iterable, one at a time; `is_closed` when there are no more to be taken.

    `is_sized` tells whether it has a length, and so an end.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        if isinstance(items, str | bytes) or not isinstance(items, Iterable | AsyncIterable):
            refuse(f"ids must be an iterable of several ids or runs, not {items!r:.200}")
        self._items = items
        self._ahead: AsyncIterator[T] | None = None
        # Of an ordinary iterable: returns the next item, or raises StopIteration, and what the iterable raises.
        self.next_at_hand: Callable[[], T] = iter(()).__next__
        self._turn = asyncio.Lock()
        self.is_async = isinstance(items, AsyncIterable)
        self.is_sized = isinstance(items, Sized)
        self.is_closed = False

    def open(self) -> None:
        """Begin to iterate, unless it was closed before."""
        if self.is_closed:
            return
        if isinstance(self._items, AsyncIterable):
            self._ahead = aiter(self._items)
        else:
            self.next_at_hand = iter(self._items).__next__

    async def next(self) -> T:
        """Return the next item of an asynchronous iterable, in turn; raises `StopAsyncIteration` at the end."""
        async with self._turn:
            if self._ahead is None or self.is_closed:
                raise StopAsyncIteration
            return await anext(self._ahead)

    def close(self) -> None:
        """Give nothing more."""
        self.is_closed = True
        self.next_at_hand = iter(()).__next__

    async def aclose(self) -> None:
        """Close an iterator that was made here; the caller's own generator is the caller's to go on with."""
        self.close()
        close = getattr(self._ahead, "aclose", None)
        if close is not None and self._ahead is not self._items:
            await close()
