"""Poller of one kind of run: single reads for few waits, list scans for many."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from math import inf
from operator import attrgetter
from typing import Any, Generic, TypeVar

from retab_async.errors import RetabError
from retab_async.models import Run
from retab_async.polling.source import RawPage, RunSource, Snapshot
from retab_async.polling.state import RunWait, WaitSession, max_repeats

RunT = TypeVar("RunT", bound=Run)

# From this number of waits on, a list scan is cheaper than single reads.
_MIN_SHARED = 8
_MAX_CONCURRENT_READS = 16
# A scan that fails this often in a row is replaced by single reads for a while.
_MAX_SCAN_FAILURES = 3
# A run that is not listed now will not be at the next poll either, but a list that lags shows a new one in time.
_SOLO_POLLS = 4
# Seconds: some loops refuse longer timers, and checking once an hour costs nothing.
_MAX_PAUSE = 3600.0

_logger = logging.getLogger("retab_async")


class ListScan(Generic[RunT]):
    """Scan of the list, newest runs first, for all waits whose next poll is near.

    Args:
        sessions: Sessions to report to, waits that are not due yet included.
        now: The current time.

    Attributes:
        cursor: Where the next page begins, None for the first.
    """

    def __init__(self, sessions: Iterable[WaitSession[RunT]], now: float) -> None:
        self._waits: defaultdict[str, list[tuple[WaitSession[RunT], RunWait[RunT]]]] = defaultdict(list)
        self._unseen: dict[RunWait[RunT], WaitSession[RunT]] = {}
        for session in sessions:
            for wait in session.waits.values():
                self._waits[wait.run_id].append((session, wait))
                if wait.is_shareable and wait.is_due_soon(now):
                    self._unseen[wait] = session
        self.cursor: str | None = None
        self._used_cursors: set[str | None] = set()
        self._pages = 0

    @property
    def has_begun(self) -> bool:
        """Whether a page has been read."""
        return self._pages > 0

    @property
    def needs_page(self) -> bool:
        """Whether to read another page: there is one, and single reads are not cheaper by now."""
        return self._pages < len(self._unseen) and self.cursor not in self._used_cursors

    def apply(self, page: RawPage, read_row: Callable[[dict[str, Any]], tuple[RunT, bool] | None], now: float) -> None:
        """Report the rows of a page to their waits, those that are not due included."""
        for row in page.rows:
            run_id = row.get("id") if isinstance(row, dict) else None
            waits = self._waits.get(run_id) if isinstance(run_id, str) else None
            found = read_row(row) if waits else None
            if waits and found:
                self._report(waits, Snapshot(*found, page.hint), now)
        self._pages += 1
        self._used_cursors.add(self.cursor)
        self.cursor = page.after or None

    def fail(self, error: RetabError, now: float) -> None:
        """Report a failed poll to the waits whose runs were not seen."""
        for wait, session in self._unseen.items():
            session.fail(wait, error, now)

    def poll_individually(self, polls: int) -> None:
        """Leave the waits whose runs were not seen to single reads, for their next N polls."""
        for wait in self._unseen:
            wait.solo_polls = polls

    def _report(
        self, waits: list[tuple[WaitSession[RunT], RunWait[RunT]]], snapshot: Snapshot[RunT], now: float
    ) -> None:
        for session, wait in waits:
            self._unseen.pop(wait, None)
            wait.solo_polls = 0
            # A list that lags behind a read must not undo what the read showed.
            if not wait.needs_output or (snapshot.is_whole and snapshot.run.status.is_terminal):
                session.observe(wait, snapshot, now)


class Poller(Generic[RunT]):
    """Polls for all sessions of one kind of run, always in the task of one of them.

    Args:
        source: Reads of the kind.
    """

    def __init__(self, source: RunSource[RunT]) -> None:
        self._source = source
        self._sessions: set[WaitSession[RunT]] = set()
        # Those with due waits that pause until the scan has ended.
        self._blocked: set[WaitSession[RunT]] = set()
        self._is_scanning = False
        self._is_list_unusable = not source.is_listed
        self._scan_failures = 0

    @contextmanager
    def registered(self, session: WaitSession[RunT]) -> Iterator[None]:
        """Register a session for as long as its task waits."""
        if session in self._sessions:
            msg = "this iterator is already being waited for: make one for each task"
            raise RuntimeError(msg)
        self._sessions.add(session)
        try:
            yield
        finally:
            self._sessions.remove(session)

    async def poll(self, session: WaitSession[RunT]) -> None:
        """Poll the due waits of a session, or of all sessions if they are many, or pause until one is due."""
        now = time.monotonic()
        due = [wait for wait in session.waits.values() if wait.next_poll <= now]
        solo = [wait for wait in due if not wait.is_shareable]
        if solo:
            await self._read(session, solo)
        elif self._is_scanning or not due:
            await self._pause(session, now, is_blocked=bool(due))
        elif not self._is_list_unusable and self._count_shareable(now) >= _MIN_SHARED:
            await self._scan(ListScan(self._sessions, now))
        else:
            await self._read(session, due)

    async def _pause(self, session: WaitSession[RunT], now: float, *, is_blocked: bool) -> None:
        later = (wait.next_poll - now for wait in session.waits.values() if wait.next_poll > now)
        if is_blocked:
            self._blocked.add(session)
        try:
            await session.pause(min((_MAX_PAUSE, *later)))
        finally:
            self._blocked.discard(session)

    def _count_shareable(self, now: float) -> int:
        waits = (wait for session in self._sessions for wait in session.waits.values())
        return sum(wait.is_shareable and wait.is_due_soon(now) for wait in waits)

    async def _read(self, session: WaitSession[RunT], waits: Iterable[RunWait[RunT]]) -> None:
        # The longest due first: where reads are slower than intervals, none is starved.
        first, *others = nsmallest(_MAX_CONCURRENT_READS, waits, key=attrgetter("next_poll"))
        if not others:
            await self._read_one(session, first)
            return
        async with asyncio.TaskGroup() as readers:
            for wait in (first, *others):
                readers.create_task(self._read_one(session, wait))

    async def _read_one(self, session: WaitSession[RunT], wait: RunWait[RunT]) -> None:
        wait.solo_polls = max(0, wait.solo_polls - 1)
        include_output = wait.needs_output or not self._source.has_output
        try:
            run, hint = await self._source.fetch(wait.run_id, include_output=include_output)
        except RetabError as error:
            session.fail(wait, error, time.monotonic())
        else:
            session.observe(wait, Snapshot(run, include_output, hint), time.monotonic())

    async def _scan(self, scan: ListScan[RunT]) -> None:
        self._is_scanning = True
        try:
            await self._scan_pages(scan)
        finally:
            # The sessions that had to wait go on; if the scan was cancelled, one of them starts another.
            self._is_scanning = False
            for session in self._blocked:
                session.wake()

    async def _scan_pages(self, scan: ListScan[RunT]) -> None:
        try:
            while scan.needs_page:
                page = await self._source.fetch_raw_page(scan.cursor)
                scan.apply(page, self._source.read_row, time.monotonic())
        except RetabError as error:
            self._on_scan_failure(scan, error)
            return
        self._scan_failures = 0
        scan.poll_individually(_SOLO_POLLS)

    def _on_scan_failure(self, scan: ListScan[RunT], error: RetabError) -> None:
        if max_repeats(error) == inf:
            scan.fail(error, time.monotonic())
            self._scan_failures += 1
            if self._scan_failures % _MAX_SCAN_FAILURES == 0:
                # The list alone may be out of order.
                scan.poll_individually(_SOLO_POLLS)
        elif scan.has_begun:
            # A stale cursor: the run that it stood for was deleted.
            scan.poll_individually(1)
        else:
            _logger.debug("list unusable, runs are read one by one from now on: %s", error)
            self._is_list_unusable = True
