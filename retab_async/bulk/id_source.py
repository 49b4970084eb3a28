"""Taking ids from their source, one ticket for each."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from typing import Any, Generic, TypeVar

from retab_async.bulk.reporter import OutcomeReporter
from retab_async.bulk.results import Disposition
from retab_async.bulk.sender import CancelItem
from retab_async.errors import InvalidRequestError, InvalidRunIdError
from retab_async.models import Run
from retab_async.validation import reject

T = TypeVar("T")


class ItemSource(Generic[T]):
    """The items of an iterable, one at a time; `is_closed` when there are no more to be taken.

    `is_sized` tells whether it has a length, and so an end.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        if isinstance(items, str | bytes) or not isinstance(items, Iterable | AsyncIterable):
            reject(f"ids must be an iterable of several ids or runs, not {items!r:.200}")
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


RunT = TypeVar("RunT", bound=Run)

# From an item to the name of its collection and its id.
Read = Callable[[Any], tuple[str, str]]

_SHOWN = 200


class IdSource(Generic[RunT]):
    """Makes tickets of what a source has; `taken` counts them, `takers` are the workers that wait for the source.

    With `keeps_runs` the items are runs, and the tickets keep them. What the source raises goes to `on_failure`; what
    cannot be an id is reported `rejected` at once.
    """

    def __init__(
        self,
        source: ItemSource[Any],
        read: Read,
        reporting: OutcomeReporter[RunT],
        on_failure: Callable[[Exception], None],
        *,
        keeps_runs: bool,
    ) -> None:
        self._source = source
        self._read = read
        self._reporting = reporting
        self._on_failure = on_failure
        self._keeps_runs = keeps_runs
        self._has_ledger = reporting.has_ledger
        # Whether taking may have to wait for somebody.
        self.is_async = source.is_async
        self.taken = 0
        self.takers: set[asyncio.Task[Any]] = set()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to be had."""
        return self._source.is_closed

    @property
    def is_sized(self) -> bool:
        """Whether the ids have a known number."""
        return self._source.is_sized

    def close(self) -> None:
        """Take nothing more."""
        self._source.close()

    def take(self) -> CancelItem[RunT] | None:
        """Return the ticket of the next id of an ordinary iterable; None where it has no more, or that one is settled.

        With an asynchronous iterable it is `take_later` that does it.
        """
        try:
            return self._ticket(self._source.next_at_hand())
        except StopIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._on_failure(error)
        return None

    async def take_later(self) -> CancelItem[RunT] | None:
        """Return what `take` returns, from an asynchronous iterable."""
        try:
            return self._ticket(await self._pull())
        except StopAsyncIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._on_failure(error)
        return None

    async def _pull(self) -> Any:
        taker = asyncio.current_task()
        assert taker is not None  # noqa: S101 - this is a worker's
        self.takers.add(taker)
        try:
            return await self._source.next()
        finally:
            self.takers.discard(taker)

    def _ticket(self, item: Any) -> CancelItem[RunT] | None:
        try:
            resource, run_id = self._read(item)
        except (InvalidRunIdError, InvalidRequestError) as error:
            self._reject(item, error)
            return None
        if self._has_ledger and self._reporting.settled_earlier(resource, run_id):
            return None
        number = self.taken
        self.taken = number + 1
        return CancelItem(resource, run_id, number, item if self._keeps_runs else None)

    def _reject(self, item: Any, error: Exception) -> None:
        shown = item if isinstance(item, str) else f"{item!r:.{_SHOWN}}"
        ticket: CancelItem[RunT] = CancelItem("", shown, self.taken)
        self.taken += 1
        self._reporting.report(ticket, Disposition.REJECTED, error=error)
