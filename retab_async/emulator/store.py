"""In-memory stores: items by id in the order of their creation, and responses by idempotency key."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Hashable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import attrs

from retab_async.emulator.responses import HTTPError, Response

IDEMPOTENCY_SECONDS = 24 * 3600.0


class Identified(Protocol):
    """Item with an id."""

    @property
    def id(self) -> str:
        """The id."""


ItemT = TypeVar("ItemT", bound=Identified)


class OrderedStore(Generic[ItemT]):
    """Items by id, and in order from the oldest to the newest."""

    def __init__(self) -> None:
        self._by_id: dict[str, ItemT] = {}
        self._items: list[ItemT] = []
        # Ascending sequence numbers, parallel to the items; they survive removals, so positions are found by bisection.
        self._numbers: list[int] = []
        self._number_of: dict[str, int] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[ItemT]:
        return iter(self._items)

    def add(self, item: ItemT) -> None:
        """Append the newest item."""
        self._by_id[item.id] = item
        self._items.append(item)
        self._numbers.append(self._added)
        self._number_of[item.id] = self._added
        self._added += 1

    def find(self, item_id: str) -> ItemT | None:
        """Return the item with an id."""
        return self._by_id.get(item_id)

    def position(self, item: ItemT) -> int:
        """Return the number of items older than `item`."""
        return bisect_left(self._numbers, self._number_of[item.id])

    def items_at(self, positions: range) -> Iterator[ItemT]:
        """Return the items at these positions; the oldest is at 0."""
        return map(self._items.__getitem__, positions)

    def remove(self, item: ItemT) -> None:
        """Remove `item`."""
        position = self.position(item)
        del self._items[position], self._numbers[position]
        del self._by_id[item.id], self._number_of[item.id]


@attrs.frozen
class _StoredResponse:
    digest: bytes
    response: Response
    expires_at: float


class IdempotencyStore:
    """Responses of the last 24 hours by idempotency key."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _StoredResponse] = {}

    def get(self, key: Hashable, request: Any, now: float) -> Response | None:
        """Return the earlier response to `key`; reject with 409 if that was for another request."""
        entry = self._entries.get(key)
        if entry is None or now >= entry.expires_at:
            return None
        if entry.digest != _digest(request):
            raise HTTPError(409, "This Idempotency-Key was used for a different request.")
        return entry.response

    def put(self, key: Hashable, request: Any, response: Response, now: float) -> None:
        """Store the response to `request` under `key`."""
        self._entries[key] = _StoredResponse(_digest(request), response, now + IDEMPOTENCY_SECONDS)


def _digest(request: Any) -> bytes:
    # A digest, because a request may contain a whole document.
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
