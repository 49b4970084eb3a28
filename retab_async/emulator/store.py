"""Things found by their ids, and walked in the order in which they came."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Hashable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import attrs

from retab_async.emulator.answers import HTTPError, Response


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""


ThingT = TypeVar("ThingT", bound=Identified)


class OrderedStore(Generic[ThingT]):
    """Things by their ids, and from the oldest to the newest."""

    def __init__(self) -> None:
        self._by_id: dict[str, ThingT] = {}
        self._things: list[ThingT] = []
        # Which one of all that ever came each of the things is, in the same order.
        self._numbers: list[int] = []
        self._number_of: dict[str, int] = {}
        self._came = 0

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[ThingT]:
        return iter(self._things)

    def add(self, thing: ThingT) -> None:
        """Put in the newest thing."""
        self._by_id[thing.id] = thing
        self._things.append(thing)
        self._numbers.append(self._came)
        self._number_of[thing.id] = self._came
        self._came += 1

    def find(self, thing_id: str) -> ThingT | None:
        """Find a thing by its id."""
        return self._by_id.get(thing_id)

    def place(self, thing: ThingT) -> int:
        """Tell how many things are older than `thing`."""
        return bisect_left(self._numbers, self._number_of[thing.id])

    def at(self, places: range) -> Iterator[ThingT]:
        """Give the things at these places, the oldest being at 0."""
        return map(self._things.__getitem__, places)

    def remove(self, thing: ThingT) -> None:
        """Forget `thing`."""
        place = self.place(thing)
        del self._things[place], self._numbers[place]
        del self._by_id[thing.id], self._number_of[thing.id]


LIFETIME = 24 * 3600.0


@attrs.frozen
class _Kept:
    print: bytes
    answer: Response
    until: float


class IdempotencyStore:
    """The answers of the last 24 hours by what their requests came with."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def recall(self, key: Hashable, asked: Any, now: float) -> Response | None:
        """Give the answer that `key` got before; 409 when it was for something else."""
        kept = self._kept.get(key)
        if kept is None or now >= kept.until:
            return None
        if kept.print != _print(asked):
            raise HTTPError(409, "This Idempotency-Key was used for a different request.")
        return kept.answer

    def keep(self, key: Hashable, asked: Any, answer: Response, now: float) -> None:
        """Keep the answer to `asked` under `key`."""
        self._kept[key] = _Kept(_print(asked), answer, now + LIFETIME)


def _print(asked: Any) -> bytes:
    # A digest, because a request may carry a whole document.
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
