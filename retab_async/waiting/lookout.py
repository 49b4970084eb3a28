"""Looks at runs for all who wait on one collection."""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from operator import attrgetter
from typing import Generic, TypeVar

from retab_async.errors import RetabError
from retab_async.models import Run
from retab_async.retrying import is_transient
from retab_async.waiting.reading import Reads, Sighting
from retab_async.waiting.seats import Party, Seat
from retab_async.waiting.sweeping import Sweep, count_near

RunT = TypeVar("RunT", bound=Run)

SHARED_FROM = 8
AT_ONCE = 16
_FAILED_ENOUGH = 3
# Who was not in the list now will not be there at the next look either, but one that lags shows a new run in time.
_LOOKS_ALONE = 4
# No timer is set for later than that: some loops cannot, and looking up once an hour costs nothing.
_LONGEST_PAUSE = 3600.0

_logger = logging.getLogger("retab_async")


class Lookout(Generic[RunT]):
    """Those who wait now and the one sweep that there may be; every look is made in the task of one of them."""

    def __init__(self, reads: Reads[RunT]) -> None:
        self._reads = reads
        self._parties: set[Party[RunT]] = set()
        self._is_sweeping = False
        self._is_refused = not reads.is_listed
        self._failures = 0

    @contextmanager
    def attended(self, party: Party[RunT]) -> Iterator[None]:
        """Count a party among those who wait, for as long as its task does."""
        if party in self._parties:
            msg = "this iterator is being waited for already"
            raise RuntimeError(msg)
        self._parties.add(party)
        try:
            yield
        finally:
            self._parties.remove(party)

    async def look(self, party: Party[RunT]) -> None:
        """Look at what a party is due to look at, for all if they are many, or wait until there is something new."""
        now = time.monotonic()
        due = [seat for seat in party.seats.values() if seat.due <= now]
        alone = [seat for seat in due if not seat.is_shareable]
        if alone:
            await self._read(party, alone)
        elif self._is_sweeping or not due:
            later = (seat.due - now for seat in party.seats.values() if seat.due > now)
            await party.pause(min((_LONGEST_PAUSE, *later)))
        elif not self._is_refused and count_near(self._parties, now) >= SHARED_FROM:
            await self._sweep(Sweep(self._parties, now))
        else:
            await self._read(party, due)

    async def _read(self, party: Party[RunT], seats: Iterable[Seat[RunT]]) -> None:
        # The longest due first: where reads are slower than intervals, nobody is to be passed over for ever.
        first, *others = nsmallest(AT_ONCE, seats, key=attrgetter("due"))
        if not others:
            await self._read_one(party, first)
            return
        async with asyncio.TaskGroup() as readers:
            for seat in (first, *others):
                readers.create_task(self._read_one(party, seat))

    async def _read_one(self, party: Party[RunT], seat: Seat[RunT]) -> None:
        seat.alone = max(0, seat.alone - 1)
        include_output = seat.wants_output or not self._reads.has_output
        try:
            run, hint = await self._reads.look(seat.run_id, include_output=include_output)
        except RetabError as error:
            party.fail(seat, error, time.monotonic())
        else:
            party.see(seat, Sighting(run, include_output, hint), time.monotonic())

    async def _sweep(self, sweep: Sweep[RunT]) -> None:
        self._is_sweeping = True
        try:
            await self._page_through(sweep)
        finally:
            # Whoever had to wait for this goes on, and if it was broken off, one of them begins anew.
            self._is_sweeping = False
            for party in self._parties:
                party.wake()

    async def _page_through(self, sweep: Sweep[RunT]) -> None:
        try:
            while sweep.goes_on:
                page = await self._reads.rows(sweep.cursor)
                sweep.take(page, self._reads.read_row, time.monotonic())
        except RetabError as error:
            self._note_failure(sweep, error)
            return
        self._failures = 0
        sweep.leave_alone(_LOOKS_ALONE)

    def _note_failure(self, sweep: Sweep[RunT], error: RetabError) -> None:
        if is_transient(error):
            sweep.fail(error, time.monotonic())
            self._failures += 1
            if self._failures % _FAILED_ENOUGH == 0:
                # It may be the list alone that is out of order.
                sweep.leave_alone(_LOOKS_ALONE)
        elif sweep.has_begun:
            # A cursor that has gone stale: the run that it stood for was deleted.
            sweep.leave_alone(1)
        else:
            _logger.debug("runs are read one by one from now on, for their list cannot be had: %s", error)
            self._is_refused = True
