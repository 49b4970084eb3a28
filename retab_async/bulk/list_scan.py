"""Scan of the runs that match a filter, while the list changes during the scan."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

from retab_async.errors import APIError, RequestError
from retab_async.listing import Page, Query, list_query
from retab_async.models import Run
from retab_async.retry import is_transient, retry_after_of

RunT = TypeVar("RunT", bound=Run)

_PAGE_SIZE = 100
# Statuses of a list whose cursor is stale: the run that it stood for was deleted.
_STALE_STATUSES = frozenset({400, 404, 422})
# Seconds between two requests for a page that is not available.
_RETRY_SECONDS = 1.0
# Pages in a row without a run that the list has not shown yet, after which it counts as finished.
_MAX_IDLE_PAGES = 10

_logger = logging.getLogger("retab_async")


def scan_queries(statuses: Iterable[str | None], **filters: Any) -> list[Query]:
    """Return the queries of the lists to scan, oldest runs first.

    Args:
        statuses: One list for each; None for any status.
        filters: The other filters.

    Raises:
        InvalidRequestError: A filter is invalid.
    """
    # New runs come at the end, which the scan has not reached yet.
    paging: dict[str, Any] = {"order": "asc", "limit": _PAGE_SIZE, "before": None, "after": None}
    return [list_query(**paging, **filters, status=status) for status in statuses]


class RunScan(Generic[RunT]):
    """Asynchronous iterator over the active runs of some lists, each once.

    The lists are scanned in passes until a pass finds no new run.

    Args:
        fetch: Fetches the page of a query string.
        queries: The lists.
        outage_timeout: Seconds for which a page that is not available is requested again.
        single_pass: Stop after one pass.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Page[RunT]]],
        queries: list[Query],
        *,
        outage_timeout: float,
        single_pass: bool,
    ) -> None:
        self._fetch = fetch
        self._queries = queries
        self._outage_timeout = outage_timeout
        self._single_pass = single_pass
        self._seen: set[str] = set()
        self._found: deque[RunT] = deque()
        self._seen_when_stale = 0
        self._is_finished = False
        self._start_pass()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        while not self._found:
            if self._is_finished:
                raise StopAsyncIteration
            await self._scan_page()
        return self._found.popleft()

    def _start_pass(self) -> None:
        self._index = 0
        self._has_found = False
        self._start_list()

    def _start_list(self) -> None:
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        # Hashes, because a list of a million runs has as many ids.
        self._listed: set[int] = set()
        self._idle_pages = 0

    async def _scan_page(self) -> None:
        page = await self._page()
        if page is None:
            # What is met a second time was seen.
            self._start_list()
            return
        listed = len(self._listed)
        for run in page.runs:
            self._listed.add(hash(run.id))
            if run.id not in self._seen and not run.status.is_terminal:
                self._seen.add(run.id)
                self._found.append(run)
                self._has_found = True
        self._idle_pages = 0 if len(self._listed) > listed else self._idle_pages + 1
        if page.after and page.after not in self._cursors and not self._is_stuck():
            self._cursor = page.after
            self._cursors.add(page.after)
        else:
            self._finish_list()

    def _is_stuck(self) -> bool:
        if self._idle_pages < _MAX_IDLE_PAGES:
            return False
        _logger.warning("list has no end: %d pages in a row without another run, not read further", self._idle_pages)
        return True

    def _finish_list(self) -> None:
        self._index += 1
        if self._index < len(self._queries):
            self._start_list()
        elif self._has_found and not self._single_pass:
            self._start_pass()
        else:
            self._is_finished = True

    async def _page(self) -> Page[RunT] | None:
        # None if the cursor is stale.
        query = self._queries[self._index] | ({"after": self._cursor} if self._cursor else {})
        deadline = time.monotonic() + self._outage_timeout
        while True:
            try:
                return await self._fetch(urlencode(query, doseq=True))
            except RequestError as error:
                if self._is_stale(error):
                    return None
                delay = max(_RETRY_SECONDS, retry_after_of(error))
                if not is_transient(error) or time.monotonic() + delay > deadline:
                    raise
            await asyncio.sleep(delay)

    def _is_stale(self, error: RequestError) -> bool:
        # A cursor that goes stale again, with nothing found since, is an error like any other.
        is_refused = self._cursor is not None and isinstance(error, APIError) and error.status_code in _STALE_STATUSES
        if not is_refused or len(self._seen) == self._seen_when_stale:
            return False
        self._seen_when_stale = len(self._seen)
        return True
