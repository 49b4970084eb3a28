"""Looks at runs for all who wait on one collection."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from operator import attrgetter
from typing import Any, Generic, TypeVar

from retab_async.errors import RetabError
from retab_async.models import Run
from retab_async.polling.state import RawPage, RunSource, RunWait, Snapshot, WaitSession
from retab_async.retry import is_transient

RunT = TypeVar("RunT", bound=Run)


def count_near(parties: Iterable[WaitSession[RunT]], now: float) -> int:
    """Count those whose next look is near and can be had from the list."""
    return sum(seat.is_shareable and seat.is_due_soon(now) for party in parties for seat in party.waits.values())


class ListScan(Generic[RunT]):
    """A walk through the list, newest first: whom it is for, who was seen, and the `cursor` of the next page."""

    def __init__(self, parties: Iterable[WaitSession[RunT]], now: float) -> None:
        self._places: defaultdict[str, list[tuple[WaitSession[RunT], RunWait[RunT]]]] = defaultdict(list)
        self._unseen: dict[RunWait[RunT], WaitSession[RunT]] = {}
        for party in parties:
            for seat in party.waits.values():
                self._places[seat.run_id].append((party, seat))
                if seat.is_shareable and seat.is_due_soon(now):
                    self._unseen[seat] = party
        self.cursor: str | None = None
        self._passed: set[str | None] = set()
        self._pages = 0

    @property
    def has_begun(self) -> bool:
        """Whether a page has come."""
        return self._pages > 0

    @property
    def needs_page(self) -> bool:
        """Whether to ask for another page: there is one, and single reads would not be cheaper by now."""
        return self._pages < len(self._unseen) and self.cursor not in self._passed

    def apply(self, page: RawPage, read_row: Callable[[dict[str, Any]], tuple[RunT, bool] | None], now: float) -> None:
        """Tell everyone whose row is on a page, also those whose look is not near."""
        for row in page.rows:
            run_id = row.get("id") if isinstance(row, dict) else None
            places = self._places.get(run_id) if isinstance(run_id, str) else None
            found = read_row(row) if places else None
            if places and found:
                self._tell(places, Snapshot(*found, page.hint), now)
        self._pages += 1
        self._passed.add(self.cursor)
        self.cursor = page.after or None

    def fail(self, error: RetabError, now: float) -> None:
        """Tell those who were not seen that this look failed."""
        for seat, party in self._unseen.items():
            party.fail(seat, error, now)

    def poll_individually(self, looks: int) -> None:
        """Leave those who were not seen to single reads, for so many looks."""
        for seat in self._unseen:
            seat.solo_polls = looks

    def _tell(
        self, places: list[tuple[WaitSession[RunT], RunWait[RunT]]], sighting: Snapshot[RunT], now: float
    ) -> None:
        for party, seat in places:
            self._unseen.pop(seat, None)
            seat.solo_polls = 0
            # A list that lags behind a read must not undo what the read showed.
            if not seat.needs_output or (sighting.is_whole and sighting.run.status.is_terminal):
                party.observe(seat, sighting, now)


SHARED_FROM = 8
AT_ONCE = 16
_FAILED_ENOUGH = 3
# Who was not in the list now will not be there at the next look either, but one that lags shows a new run in time.
_LOOKS_ALONE = 4
# No timer is set for later than that: some loops cannot, and looking up once an hour costs nothing.
_LONGEST_PAUSE = 3600.0

_logger = logging.getLogger("retab_async")


class Poller(Generic[RunT]):
    """Those who wait now and the one sweep that there may be; every look is made in the task of one of them."""

    def __init__(self, source: RunSource[RunT]) -> None:
        self._source = source
        self._sessions: set[WaitSession[RunT]] = set()
        self._is_scanning = False
        self._is_refused = not source.is_listed
        self._failures = 0

    @contextmanager
    def registered(self, session: WaitSession[RunT]) -> Iterator[None]:
        """Count a party among those who wait, for as long as its task does."""
        if session in self._sessions:
            msg = "this iterator is being waited for already"
            raise RuntimeError(msg)
        self._sessions.add(session)
        try:
            yield
        finally:
            self._sessions.remove(session)

    async def poll(self, session: WaitSession[RunT]) -> None:
        """Look at what a party is due to look at, for all if they are many, or wait until there is something new."""
        now = time.monotonic()
        due = [seat for seat in session.waits.values() if seat.next_poll <= now]
        alone = [seat for seat in due if not seat.is_shareable]
        if alone:
            await self._read(session, alone)
        elif self._is_scanning or not due:
            later = (seat.next_poll - now for seat in session.waits.values() if seat.next_poll > now)
            await session.pause(min((_LONGEST_PAUSE, *later)))
        elif not self._is_refused and count_near(self._sessions, now) >= SHARED_FROM:
            await self._scan(ListScan(self._sessions, now))
        else:
            await self._read(session, due)

    async def _read(self, party: WaitSession[RunT], seats: Iterable[RunWait[RunT]]) -> None:
        # The longest due first: where reads are slower than intervals, nobody is to be passed over for ever.
        first, *others = nsmallest(AT_ONCE, seats, key=attrgetter("next_poll"))
        if not others:
            await self._read_one(party, first)
            return
        async with asyncio.TaskGroup() as readers:
            for seat in (first, *others):
                readers.create_task(self._read_one(party, seat))

    async def _read_one(self, party: WaitSession[RunT], seat: RunWait[RunT]) -> None:
        seat.solo_polls = max(0, seat.solo_polls - 1)
        include_output = seat.needs_output or not self._source.has_output
        try:
            run, hint = await self._source.fetch(seat.run_id, include_output=include_output)
        except RetabError as error:
            party.fail(seat, error, time.monotonic())
        else:
            party.observe(seat, Snapshot(run, include_output, hint), time.monotonic())

    async def _scan(self, sweep: ListScan[RunT]) -> None:
        self._is_scanning = True
        try:
            await self._scan_pages(sweep)
        finally:
            # Whoever had to wait for this goes on, and if it was broken off, one of them begins anew.
            self._is_scanning = False
            for party in self._sessions:
                party.wake()

    async def _scan_pages(self, sweep: ListScan[RunT]) -> None:
        try:
            while sweep.needs_page:
                page = await self._source.fetch_raw_page(sweep.cursor)
                sweep.apply(page, self._source.read_row, time.monotonic())
        except RetabError as error:
            self._note_failure(sweep, error)
            return
        self._failures = 0
        sweep.poll_individually(_LOOKS_ALONE)

    def _note_failure(self, sweep: ListScan[RunT], error: RetabError) -> None:
        if is_transient(error):
            sweep.fail(error, time.monotonic())
            self._failures += 1
            if self._failures % _FAILED_ENOUGH == 0:
                # It may be the list alone that is out of order.
                sweep.poll_individually(_LOOKS_ALONE)
        elif sweep.has_begun:
            # A cursor that has gone stale: the run that it stood for was deleted.
            sweep.poll_individually(1)
        else:
            _logger.debug("runs are read one by one from now on, for their list cannot be had: %s", error)
            self._is_refused = True
