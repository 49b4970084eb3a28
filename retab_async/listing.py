"""Lists that page themselves: what a list is asked for, and the walk from page to page."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import attrs

from retab_async.errors import InvalidRequestError, one_line
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

_MAX_LIMIT = 100

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class Page(Generic[RunT]):
    """One page of a list: its `runs`, and the ids to go on from in either direction, None where the list ends."""

    runs: tuple[RunT, ...]
    before: str | None = None
    after: str | None = None


class RunList(Generic[RunT]):
    """The runs that a list request finds: `async for run in ...`, or page by page with `pages()`.

    Nothing is asked before the first step, and each walk begins anew.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[RunT]]], query: dict[str, str]) -> None:
        self._fetch = fetch
        self._query = query

    async def __aiter__(self) -> AsyncIterator[RunT]:
        async for page in self.pages():
            for run in page.runs:
                yield run

    async def pages(self) -> AsyncGenerator[Page[RunT], None]:
        """Yield page by page; `page.after` is where `list(after=...)` goes on another day.

        Ends with the list, or where a cursor comes a second time.
        """
        query = dict(self._query)
        cursor = "before" if "before" in query else "after"
        seen = {query.get(cursor)}
        while True:
            page = await self._fetch(urlencode(query))
            yield page
            reached = page.before if cursor == "before" else page.after
            if not reached:
                return
            if reached in seen:
                _logger.warning("the list came back to %s: it ends here", one_line(reached))
                return
            seen.add(reached)
            query[cursor] = reached


def list_query(  # noqa: PLR0913 - the filters of a list, each by its name
    *,
    status: str | None,
    filename: str | None,
    from_date: date | None,
    to_date: date | None,
    order: str,
    limit: int,
    before: str | None,
    after: str | None,
) -> dict[str, str]:
    """Return the query of a list request; raises `InvalidRequestError` for what the API would refuse."""
    if before is not None and after is not None:
        _refuse("give before or after, not both")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MAX_LIMIT:
        _refuse(f"limit must be a whole number from 1 to {_MAX_LIMIT}, not {limit!r}")
    if order not in {"asc", "desc"}:
        _refuse(f"order must be 'asc' or 'desc', not {order!r}")
    told = {
        "limit": str(limit),
        "order": order,
        "status": _text("status", status),
        "filename": _text("filename", filename),
        "from_date": _moment("from_date", from_date),
        "to_date": _moment("to_date", to_date),
        "before": _text("before", before),
        "after": _text("after", after),
    }
    return {name: value for name, value in told.items() if value is not None}


def _refuse(reason: str) -> None:
    raise InvalidRequestError(reason)


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        _refuse(f"{name} must be a text that is not empty, not {value!r}")
    # An enum's member stands for its word.
    return None if value is None else str(value)


def _moment(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            _refuse(f"{name} must say its timezone, as datetime.now(UTC) does")
        return value.isoformat()
    if not isinstance(value, date):
        _refuse(f"{name} must be a date or a datetime, not {value!r}")
    return str(value.isoformat())
