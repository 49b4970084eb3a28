"""Source of the items of a bulk job: ids from any iterable, normalised to (kind, id)."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from typing import Any, TypeAlias

from retab_async.bulk.results import EndReason
from retab_async.errors import RequestError
from retab_async.validation import reject

# Normalises what a caller gave to the kind of a run and its id, or raises the error that says why not.
IdReader: TypeAlias = Callable[[Any], tuple[str, str]]

_MAX_SHOWN = 200
# Seconds for which an iterable without a length is still consumed after an outage: it may be endless.
_DRAIN_SECONDS = 1.0


class CancelItem:
    """One id of a bulk cancel, from its source to its outcome.

    Attributes:
        kind: Kind of the run; empty for what could not be normalised.
        run_id: The id.
        value: What the caller gave for it.
        number: Position among the ids of the job that have an outcome.
        attempts: Number of sends.
        failures: Transient failures since the last outage that the retry policy limits.
        congestions: Transient failures since the last outage because the server was busy.
        deadline: When the last attempt must have begun, in `time.monotonic()`; 0 before the first failure.
        error: The last failure.
    """

    # Class attributes: most items succeed at once and never set these.
    number = 0
    attempts = 0
    failures = 0
    congestions = 0
    deadline: float = 0.0
    error: Exception | None = None

    def __init__(self, kind: str, run_id: str, value: Any = None) -> None:
        self.kind = kind
        self.run_id = run_id
        self.value = value


class IdSource:
    """Items of an iterable, one at a time; an error of the iterable closes the source.

    Args:
        values: Ids or runs; synchronous or asynchronous, of any length.
        read: Normalises one of them.
        dedupe: Skip an id that occurred before, at the cost of some 60 bytes of memory for each id.

    Attributes:
        is_async: Whether to use `take_async` instead of `take`.
        is_closed: Whether no more items are available.
        duplicates: Number of ids that were skipped.
        end_reason: Why the source was closed; None if it is open or has failed.
        failure: The error that ends the job; the job raises it.
        refusal: The error with which the server refused the caller.
    """

    def __init__(self, values: Iterable[Any] | AsyncIterable[Any], read: IdReader, *, dedupe: bool = False) -> None:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable | AsyncIterable):
            reject(f"ids must be an iterable of several ids or runs, not {values!r:.200}")
        self._values = values
        self._read = read
        # Hashes: the chance that two of a million ids share one is 1 in 30 millions.
        self._occurred: set[int] | None = set() if dedupe else None
        self._iterator: AsyncIterator[Any] | None = None
        self._next: Callable[[], Any] = iter(()).__next__
        self._turn = asyncio.Lock()
        self._takers: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._drain_timer: asyncio.TimerHandle | None = None
        self.is_async: bool = isinstance(values, AsyncIterable)
        self.is_closed: bool = False
        self.duplicates: int = 0
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

    def take(self) -> CancelItem | None:
        """Return the next item of a synchronous iterable; None for a duplicate, and when the source is closed."""
        try:
            return self._to_item(self._next())
        except StopIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - the job raises it
            self.fail(error)
        return None

    async def take_async(self) -> CancelItem | None:
        """Return the next item of an asynchronous iterable; None for a duplicate, and when the source is closed."""
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

    def _to_item(self, value: Any) -> CancelItem | None:
        try:
            kind, run_id = self._read(value)
        except Exception as error:  # noqa: BLE001 - it is the outcome of this value alone
            item = CancelItem("", _shown(value))
            item.error = error
            return item
        if self._occurred is not None:
            key = hash((kind, run_id))
            if key in self._occurred:
                self.duplicates += 1
                return None
            self._occurred.add(key)
        return CancelItem(kind, run_id, value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return f"{value!r:.{_MAX_SHOWN}}"
    except Exception:  # noqa: BLE001 - a foreign repr may fail in any way, with RecursionError for one
        return f"<{type(value).__name__}>"
