"""How many requests of bulk work may be in flight, learned from refusals."""

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from retab_async.pacing.lines import Line

_START = 8
_DECREASE = 0.7


class Window:
    """A limit that grows by one with each success until the first refusal, and after it by one a round trip.

    A refusal or a lost connection takes three tenths of it, once for all that were in flight together.
    """

    def __init__(self) -> None:
        self._limit = float(_START)
        self._has_been_cut = False
        self._cut_at = float("-inf")
        self.in_flight = 0
        # Who waits for room in it: each job on its own.
        self.lines: WeakSet[Line] = WeakSet()

    @property
    def limit(self) -> int:
        """How many may be in flight."""
        return int(self._limit)

    def has_room(self, most: int) -> bool:
        """Tell whether one more may go, by the limit and by what its sender allows itself."""
        return self.in_flight < min(self.limit, most)

    def grow(self, most: int) -> None:
        """Take note of a success; nothing is learned beyond what the sender allows itself."""
        if self._limit < most:
            self._limit = min(self._limit + (1 / self._limit if self._has_been_cut else 1), most)

    def cut(self, sent: float, now: float) -> None:
        """Take note that what was sent at that moment came to nothing."""
        self._has_been_cut = True
        if sent >= self._cut_at:
            self._cut_at = now
            self._limit = max(1.0, self._limit * _DECREASE)
