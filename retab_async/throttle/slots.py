"""Slots of a rate limit that several processes share: one exchange with their store, and its algorithm in Python."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from heapq import nsmallest
from typing import NamedTuple, Protocol

import attrs

from retab_async.errors import ConfigurationError
from retab_async.settings import check_count, check_seconds

# Seconds beyond the period for which the slot of a request without a reported response is kept.
_LEASE_MARGIN = 30.0
# Seconds without new slots after the store has lost its content, in which the other processes report theirs.
SETTLE_SECONDS = 2.0
# Seconds: an earlier free slot is not worth another exchange.
MIN_WAIT = 0.001


def reserve_of(requests: int) -> int:
    """Return how many requests of a limit are reserved for cancels: 3 %, and one of ten or more."""
    return requests * 3 // 100 or int(requests >= 10)


class Demand(NamedTuple):
    """Requests that wait for a slot.

    Attributes:
        urgent: Single cancels and cleanup, which may use the reserve.
        others: All others.
        has_calls: Whether some of the others are no cancels of a bulk job, so that the reserve is kept for a period.
    """

    urgent: int
    others: int
    has_calls: bool


NO_DEMAND = Demand(0, 0, has_calls=False)


class SlotRequest(NamedTuple):
    """One exchange of a process with the store: what happened since the last one, and the slots it needs.

    Attributes:
        name: Unique name of the process, the first part of its slots' ids.
        epoch: Epoch of the store's content as of the last exchange, empty before the first one.
        demand: Slots that are needed now.
        first_id: Number of the first of them.
        finished: Slots whose request has finished, with the seconds since then; infinite to release an unused one.
        held: Slots of requests in flight, where the store may have lost them.
        closed_seconds: Seconds for which a response asked all processes to wait, 0 for none.
    """

    name: str
    epoch: str
    demand: Demand = NO_DEMAND
    first_id: int = 0
    finished: Sequence[tuple[str, float]] = ()
    held: Sequence[str] = ()
    closed_seconds: float = 0.0


class SlotReply(NamedTuple):
    """Reply of the store.

    Attributes:
        granted: Number of granted slots, numbered from `first_id`; the urgent ones are served first.
        wait: Seconds before which no further slot can be free, 0 if all were granted.
        epoch: Epoch of the store's content.
        is_lost: Whether the store has lost the slots of the process, which must report them again.
    """

    granted: int
    wait: float
    epoch: str
    is_lost: bool


class SlotStore(Protocol):
    """Store of the slots of one credential."""

    async def exchange(self, request: SlotRequest) -> SlotReply:
        """Report and request slots in one atomic step; any exception means that the store is unavailable."""

    async def aclose(self) -> None:
        """Close what the store has opened."""


class SharedRateLimit(ABC):
    """Rate limit that all processes with one credential and one store share: at most `requests` in any `per` seconds.

    Attributes:
        requests: Number of requests.
        per: Seconds.
        lease: Seconds for which a request counts whose process was killed, or that is still in flight then.
    """

    def __init__(self, requests: int, *, per: float, lease: float | None) -> None:
        self.requests: int = check_count("requests", requests)
        self.per: float = check_seconds("per", per)
        self.lease: float = per + _LEASE_MARGIN if lease is None else check_seconds("lease", lease)
        if self.lease < per:
            msg = f"lease must be at least per, {per:g} seconds, not {lease!r}: that long a request counts"
            raise ConfigurationError(msg)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.per

    @abstractmethod
    def open_store(self, fingerprint: str) -> SlotStore:
        """Return the store for the credential with that hash; it connects on first use."""


@attrs.define
class SlotTable:
    """Slots of one credential: the algorithm of a store, in Python; all times are of one clock.

    Attributes:
        epoch: Random name of this content, empty before the first exchange.
        closed_until: When a pause for all processes ends.
        calls_until: Until when the reserve is kept, because there were calls other than cancels of bulk jobs.
        kept_until: When all of this is of no use any more, unless there is another exchange.
        slots: When each slot becomes free, by its id.
    """

    epoch: str = ""
    closed_until: float = 0.0
    calls_until: float = 0.0
    kept_until: float = 0.0
    slots: dict[str, float] = attrs.field(factory=dict)

    def exchange(self, limit: SharedRateLimit, request: SlotRequest, now: float) -> SlotReply:
        """Apply an exchange."""
        is_lost = bool(request.epoch) and request.epoch != self.epoch
        if not self.epoch:
            self.epoch = f"{request.name}:{request.first_id}"
            if is_lost:
                self.closed_until = now + min(SETTLE_SECONDS, limit.per)
        if request.closed_seconds > 0:
            self.closed_until = max(self.closed_until, now + request.closed_seconds)
        for slot in request.held:
            self.slots[slot] = now + limit.lease
        for slot, age in request.finished:
            self.slots[slot] = now + limit.per - age
        self.slots = {slot: until for slot, until in self.slots.items() if until > now}
        if request.demand.has_calls:
            self.calls_until = now + limit.per
        granted, wait = (0, 0.0) if is_lost else self._grant(limit, request, now)
        self.kept_until = max(self.kept_until, now + limit.lease + 1, self.closed_until)
        return SlotReply(granted, wait, self.epoch, is_lost)

    def _grant(self, limit: SharedRateLimit, request: SlotRequest, now: float) -> tuple[int, float]:
        urgent, others, _ = request.demand
        if self.closed_until > now:
            return 0, self.closed_until - now if urgent + others else 0.0
        regular = limit.requests - (reserve_of(limit.requests) if self.calls_until > now else 0)
        used = len(self.slots)
        granted = min(urgent, max(0, limit.requests - used))
        if granted == urgent:
            granted += min(others, max(0, regular - used - granted))
        for number in range(request.first_id, request.first_id + granted):
            self.slots[f"{request.name}:{number}"] = now + limit.lease
        if granted == urgent + others:
            return granted, 0.0
        allowed = limit.requests if granted < urgent else regular
        blocking = nsmallest(len(self.slots) - allowed + 1, self.slots.values())[-1]
        # A request in flight may finish at once, and then counts for one period.
        return granted, min(max(blocking - now, MIN_WAIT), limit.per)
