"""Source of the items of a bulk job: one at a time from any iterable."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from typing import Any, Generic, TypeVar

from retab_async.bulk.results import EndReason
from retab_async.errors import RequestError
from retab_async.validation import reject

ItemT = TypeVar("ItemT")

# Seconds for which an iterable without a length is still consumed after an outage: it may be endless.
_DRAIN_SECONDS = 1.0


class ItemSource(ABC, Generic[ItemT]):
    """Items of an iterable, one at a time; an error of the iterable closes the source.

    Args:
        values: What the caller gave; synchronous or asynchronous, of any length.
        what: What they are, for the error about another argument.

    Attributes:
        is_async: Whether to use `take_async` instead of `take`.
        is_closed: Whether no more items are available.
        end_reason: Why the source was closed; None if it is open or has failed.
        failure: The error that ends the job; the job raises it.
        refusal: The error with which the server refused the caller.
    """

    def __init__(self, values: Iterable[Any] | AsyncIterable[Any], what: str) -> None:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable | AsyncIterable):
            reject(f"{what}, not {values!r:.200}")
        self._values = values
        self._iterator: AsyncIterator[Any] | None = None
        self._next: Callable[[], Any] = iter(()).__next__
        self._turn = asyncio.Lock()
        self._takers: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._drain_timer: asyncio.TimerHandle | None = None
        self.is_async: bool = isinstance(values, AsyncIterable)
        self.is_closed: bool = False
        self.end_reason: EndReason | None = None
        self.failure: BaseException | None = None
        self.refusal: RequestError | None = None

    @property
    def has_takers(self) -> bool:
        """Whether a worker is waiting for the next item of an asynchronous iterable."""
        return bool(self._takers)

    def has_interrupted(self, worker: "asyncio.Task[Any]") -> bool:
        """Tell whether a worker was cancelled because it waited for an item when the source was closed."""
        return worker in self._interrupted

    def open(self) -> None:
        """Start the iteration, unless the source was closed before."""
        if self.is_closed:
            return
        if isinstance(self._values, AsyncIterable):
            self._iterator = aiter(self._values)
        else:
            self._next = iter(self._values).__next__

    def take(self) -> ItemT | None:
        """Return the next item of a synchronous iterable; None for a skipped one, and when the source is closed."""
        try:
            return self._to_item(self._next())
        except StopIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - the job raises it
            self.fail(error)
        return None

    async def take_async(self) -> ItemT | None:
        """Return the next item of an asynchronous iterable; None for a skipped one, and when the source is closed."""
        taker = asyncio.current_task()
        assert taker is not None  # noqa: S101 - workers are tasks
        self._takers.add(taker)
        try:
            async with self._turn:
                if self._iterator is None or self.is_closed:
                    return None
                return self._to_item(await anext(self._iterator))
        except StopAsyncIteration:
            self._takers.discard(taker)
            self.close()
        except asyncio.CancelledError as error:
            # A worker of an open source is not cancelled by the job: the producer was, and another worker would take
            # that for the end of the ids.
            if not self.is_closed:
                self._takers.discard(taker)
                self.fail(error)
            raise
        except Exception as error:  # noqa: BLE001 - the job raises it
            self._takers.discard(taker)
            self.fail(error)
        finally:
            self._takers.discard(taker)
        return None

    def close(self, reason: EndReason | None = EndReason.COMPLETED) -> None:
        """Take no more items; workers that wait for one are cancelled."""
        if not self.is_closed:
            self.end_reason = reason
        self.is_closed = True
        self._next = iter(()).__next__
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        for taker in self._takers - self._interrupted:
            self._interrupted.add(taker)
            taker.cancel()

    def fail(self, error: BaseException) -> None:
        """Close the source; the job raises the first error when it ends."""
        self.failure = self.failure or error
        self.close(None)

    def refuse(self, error: RequestError) -> None:
        """Close the source, because the server refuses the caller of all items."""
        self.refusal = self.refusal or error
        self.close(EndReason.REFUSED)

    def drain(self) -> None:
        """Close the source soon, unless it has a length and so an end."""
        if not (self.is_closed or self._drain_timer or isinstance(self._values, Sized)):
            self._drain_timer = asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self.close, EndReason.OUTAGE)

    async def aclose(self) -> None:
        """Close an iterator that was made here; a generator stays open for its owner."""
        self.close()
        close = getattr(self._iterator, "aclose", None)
        if close is not None and self._iterator is not self._values:
            await close()

    @abstractmethod
    def _to_item(self, value: Any) -> ItemT | None:
        """Return the item of what the caller gave, None to skip it; an error is part of the item."""
