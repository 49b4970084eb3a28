"""Source of the items of a bulk cancel: ids from any iterable, normalised to (kind, id)."""

from collections.abc import AsyncIterable, Callable, Iterable
from itertools import count
from typing import Any, TypeAlias

from retab_async.bulk.item_source import ItemSource

# Normalises what a caller gave to the kind of a run and its id, or raises the error that says why not.
IdReader: TypeAlias = Callable[[Any], tuple[str, str]]

_MAX_SHOWN = 200


class CancelItem:
    """One id of a bulk cancel, from its source to its outcome.

    Attributes:
        kind: Kind of the run; empty for what could not be normalised.
        run_id: The id.
        value: What the caller gave for it.
        number: Position among the ids of the job, without skipped ones.
        attempts: Number of sends.
        failures: Transient failures since the last outage that the retry policy limits.
        congestions: Transient failures since the last outage because the server was busy.
        deadline: When the last attempt must have begun, in `time.monotonic()`; 0 before the first failure.
        error: The last failure.
    """

    # Class attributes: most items succeed at once and never use these.
    failures: int = 0
    congestions: int = 0
    deadline: float = 0.0

    def __init__(self, kind: str, run_id: str, value: Any = None, number: int = 0) -> None:
        self.kind = kind
        self.run_id = run_id
        self.value = value
        self.number = number
        self.attempts = 0
        self.error: Exception | None = None


class IdSource(ItemSource[CancelItem]):
    """Items of a bulk cancel; what cannot be normalised is an item with its error.

    Args:
        values: Ids or runs; synchronous or asynchronous, of any length.
        read: Normalises one of them.
        kind: Kind of the ids that are strings, which need not be normalised; empty where an id is not enough.
        dedupe: Skip an id that occurred before, at the cost of some 60 bytes of memory for each id.

    Attributes:
        duplicates: Number of ids that were skipped.
    """

    def __init__(
        self, values: Iterable[Any] | AsyncIterable[Any], read: IdReader, *, kind: str = "", dedupe: bool = False
    ) -> None:
        super().__init__(values, "ids must be an iterable of several ids or runs")
        self._read = read
        self._kind = kind
        # Hashes: the chance that two of a million ids share one is 1 in 30 millions.
        self._occurred: set[int] | None = set() if dedupe else None
        self.duplicates: int = 0
        self._numbers = count()

    def _to_item(self, value: Any) -> CancelItem | None:
        kind, run_id = self._kind, value
        if not kind or type(value) is not str:
            try:
                kind, run_id = self._read(value)
            except Exception as error:  # noqa: BLE001 - it is the outcome of this value alone
                item = CancelItem("", _shown(value), number=next(self._numbers))
                item.error = error
                return item
        if self._occurred is not None:
            key = hash((kind, run_id))
            if key in self._occurred:
                self.duplicates += 1
                return None
            self._occurred.add(key)
        return CancelItem(kind, run_id, value, next(self._numbers))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return f"{value!r:.{_MAX_SHOWN}}"
    except Exception:  # noqa: BLE001 - a foreign repr may fail in any way, with RecursionError for one
        return f"<{type(value).__name__}>"
