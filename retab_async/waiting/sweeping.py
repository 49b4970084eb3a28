"""One look at all who wait, by way of the list."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from retab_async.errors import RetabError
from retab_async.models import Run
from retab_async.waiting.reading import Rows, Sighting
from retab_async.waiting.seats import Party, Seat

RunT = TypeVar("RunT", bound=Run)


def count_near(parties: Iterable[Party[RunT]], now: float) -> int:
    """Count those whose next look is near and can be had from the list."""
    return sum(seat.is_shareable and seat.is_near(now) for party in parties for seat in party.seats.values())


class Sweep(Generic[RunT]):
    """A walk through the list, newest first: whom it is for, who was seen, and the `cursor` of the next page."""

    def __init__(self, parties: Iterable[Party[RunT]], now: float) -> None:
        self._places: defaultdict[str, list[tuple[Party[RunT], Seat[RunT]]]] = defaultdict(list)
        self._unseen: dict[Seat[RunT], Party[RunT]] = {}
        for party in parties:
            for seat in party.seats.values():
                self._places[seat.run_id].append((party, seat))
                if seat.is_shareable and seat.is_near(now):
                    self._unseen[seat] = party
        self.cursor: str | None = None
        self._passed: set[str | None] = set()
        self._pages = 0

    @property
    def has_begun(self) -> bool:
        """Whether a page has come."""
        return self._pages > 0

    @property
    def goes_on(self) -> bool:
        """Whether to ask for another page: there is one, and single reads would not be cheaper by now."""
        return self._pages < len(self._unseen) and self.cursor not in self._passed

    def take(self, page: Rows, read_row: Callable[[dict[str, Any]], tuple[RunT, bool] | None], now: float) -> None:
        """Tell everyone whose row is on a page, also those whose look is not near."""
        for row in page.rows:
            run_id = row.get("id") if isinstance(row, dict) else None
            places = self._places.get(run_id) if isinstance(run_id, str) else None
            found = read_row(row) if places else None
            if places and found:
                self._tell(places, Sighting(*found, page.hint), now)
        self._pages += 1
        self._passed.add(self.cursor)
        self.cursor = page.after or None

    def fail(self, error: RetabError, now: float) -> None:
        """Tell those who were not seen that this look failed."""
        for seat, party in self._unseen.items():
            party.fail(seat, error, now)

    def leave_alone(self, looks: int) -> None:
        """Leave those who were not seen to single reads, for so many looks."""
        for seat in self._unseen:
            seat.alone = looks

    def _tell(self, places: list[tuple[Party[RunT], Seat[RunT]]], sighting: Sighting[RunT], now: float) -> None:
        for party, seat in places:
            self._unseen.pop(seat, None)
            seat.alone = 0
            # A list that lags behind a read must not undo what the read showed.
            if not seat.wants_output or (sighting.is_whole and sighting.run.status.is_terminal):
                party.see(seat, sighting, now)
