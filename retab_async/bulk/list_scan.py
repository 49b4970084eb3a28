"""The runs that a filter finds, walked through while the list changes under the walk."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

from retab_async.errors import APIError, RequestError
from retab_async.listing import Page, Query, list_query
from retab_async.models import Run
from retab_async.retry import is_transient

RunT = TypeVar("RunT", bound=Run)

_PAGE = 100
# What a list says of a cursor that names nothing: the run that it stood for was deleted.
_STALE = frozenset({400, 404, 422})
_PAUSE = 1.0


def scan_queries(statuses: Iterable[str | None], **filters: Any) -> list[Query]:
    """Return the queries of the lists to walk, oldest runs first, one for each status; None is any.

    Raises `InvalidRequestError`.
    """
    # New runs come at the end, where the walk has not been yet.
    walk: dict[str, Any] = {"order": "asc", "limit": _PAGE, "before": None, "after": None}
    return [list_query(**walk, **filters, status=status) for status in statuses]


class RunScan(Generic[RunT]):
    """The runs that some lists have and that are not over, each once, in passes until one brings nothing new.

    A list that cannot be had is asked for again for as long as `outage_timeout` lasts.
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
        self._is_over = False
        self._begin_pass()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        while not self._found:
            if self._is_over:
                raise StopAsyncIteration
            await self._turn_page()
        return self._found.popleft()

    def _begin_pass(self) -> None:
        self._at = 0
        self._is_news = False
        self._begin_list()

    def _begin_list(self) -> None:
        self._cursor: str | None = None
        self._cursors: set[str] = set()

    async def _turn_page(self) -> None:
        page = await self._page()
        if page is None:
            # Whatever is met a second time has been seen.
            self._begin_list()
            return
        for run in page.runs:
            if run.id not in self._seen and not run.status.is_terminal:
                self._seen.add(run.id)
                self._found.append(run)
                self._is_news = True
        if page.after and page.after not in self._cursors:
            self._cursor = page.after
            self._cursors.add(page.after)
        else:
            self._end_list()

    def _end_list(self) -> None:
        self._at += 1
        if self._at < len(self._queries):
            self._begin_list()
        elif self._is_news and not self._single_pass:
            self._begin_pass()
        else:
            self._is_over = True

    async def _page(self) -> Page[RunT] | None:
        query = self._queries[self._at] | ({"after": self._cursor} if self._cursor else {})
        gives_up = time.monotonic() + self._outage_timeout
        while True:
            try:
                return await self._fetch(urlencode(query, doseq=True))
            except RequestError as error:
                if self._is_stale(error):
                    return None
                if not is_transient(error) or time.monotonic() + _PAUSE > gives_up:
                    raise
            await asyncio.sleep(_PAUSE)

    def _is_stale(self, error: RequestError) -> bool:
        # One that goes stale again, with nothing found since, is an error like any other.
        refused = self._cursor is not None and isinstance(error, APIError) and error.status_code in _STALE
        if not refused or len(self._seen) == self._seen_when_stale:
            return False
        self._seen_when_stale = len(self._seen)
        return True
