"""Lists: their filters, and a pager over their pages."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlencode

import attrs
import orjson

from retab_async.official_names import OfficialNames
from retab_async.text import single_line
from retab_async.validation import non_blank_str, non_empty_list, reject

ItemT = TypeVar("ItemT")
# A list of words is sent as the same key once for each word.
Query: TypeAlias = dict[str, str | Sequence[str]]

_MAX_LIMIT = 100

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class Page(OfficialNames, Generic[ItemT]):
    """One page of a list; `async for` yields its items, and for an awaited page also those of the pages after it.

    Attributes:
        items: The runs, or other items, of the page.
        before: The cursor of the previous page, None at the start of the list.
        after: The cursor of the next page, None at the end of the list.
        rest: The items after an awaited page, None at the end of the list, and for a page of `pages()`.
    """

    items: tuple[ItemT, ...]
    before: str | None = None
    after: str | None = None
    rest: "RunPager[ItemT] | None" = attrs.field(default=None, eq=False, repr=False)

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        for item in self.items:
            yield item
        if self.rest is not None:
            async for item in self.rest:
                yield item

    @property
    def runs(self) -> tuple[ItemT, ...]:
        """The items, under the name that fits a list of runs."""
        return self.items


class RunPager(OfficialNames, Generic[ItemT]):
    """Async iterable over the items of a list, `async for run in pager`, or over its pages with `pages()`.

    Awaited, it gives the first page, which can be iterated over like the pager: `page = await client.splits.list()`.

    Pages are requested as the iteration proceeds; each iteration starts again with the first page.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[ItemT]]], query: Query, path: str) -> None:
        self._fetch = fetch
        self._query = query
        self._path = path

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            for item in page.items:
                yield item

    def __await__(self) -> Generator[Any, Any, Page[ItemT]]:
        return self._first_page().__await__()

    async def _first_page(self) -> Page[ItemT]:
        page = await self._fetch(urlencode(self._query, doseq=True))
        cursor = page.before if self._direction == "before" else page.after
        if not cursor or cursor == self._query.get(self._direction):
            return page
        return attrs.evolve(page, rest=RunPager(self._fetch, {**self._query, self._direction: cursor}, self._path))

    @property
    def _direction(self) -> str:
        return "before" if "before" in self._query else "after"

    async def pages(self) -> AsyncGenerator[Page[ItemT], None]:
        """Yield the pages; pass `page.after` to `list(after=...)` to continue later.

        Stops at the end of the list, or if the server repeats a cursor.
        """
        query = dict(self._query)
        direction = self._direction
        seen: set[object] = {query.get(direction)}
        while True:
            page = await self._fetch(urlencode(query, doseq=True))
            yield page
            cursor = page.before if direction == "before" else page.after
            if not cursor:
                return
            if cursor in seen:
                _logger.warning("%s: list stopped, the server repeated the cursor %s", self._path, single_line(cursor))
                return
            seen.add(cursor)
            query[direction] = cursor

    def __repr__(self) -> str:
        filters = " ".join(f"{name}={value}" for name, value in self._query.items())
        return f"<RunPager {self._path} {single_line(filters)}>"


def list_query(  # noqa: PLR0913 - the filters that lists share, each by its name
    *,
    from_date: date | str | None,
    to_date: date | str | None,
    order: str,
    limit: int,
    before: str | None,
    after: str | None,
    **filters: str | Sequence[str] | Mapping[str, str] | None,
) -> Query:
    """Return the query of a list request.

    Args:
        from_date: Only runs created on or after this date.
        to_date: Only runs created on or before this date.
        order: `asc` or `desc`, by the time of creation.
        limit: Items on a page, 1 to 100.
        before: The cursor to continue from, backward.
        after: The cursor to continue from, forward.
        **filters: Filters of some lists only: a string, a list (any of its strings), or a mapping (all of its pairs).

    Raises:
        InvalidRequestError: The API would reject the query.
    """
    if before is not None and after is not None:
        reject("give before or after, not both")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MAX_LIMIT:
        reject(f"limit must be a whole number from 1 to {_MAX_LIMIT}, not {limit!r}")
    if order not in {"asc", "desc"}:
        reject(f"order must be 'asc' or 'desc', not {order!r}")
    query = {
        "limit": str(limit),
        "order": order,
        **{name: _filter(name, value) for name, value in filters.items()},
        "from_date": date_text("from_date", from_date),
        "to_date": date_text("to_date", to_date),
        "before": _word("before", before),
        "after": _word("after", after),
    }
    return {name: value for name, value in query.items() if value is not None}


def with_day_bounds(filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters whose dates are datetimes: the first moment of `from_date`, the last of `to_date`, in UTC."""
    return filters | {
        name: _day_bound(_from_iso(name, filters[name]), at)
        for name, at in (("from_date", time.min), ("to_date", time.max))
    }


def date_text(name: str, value: Any) -> str | None:
    """Return a date, an aware datetime, or an ISO 8601 text of either as a text of the API; None for None."""
    value = _from_iso(name, value)
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            reject(f"{name} must have a timezone, as datetime.now(UTC) has")
        return value.isoformat()
    if not isinstance(value, date):
        reject(f"{name} must be a date or a datetime, not {value!r}")
    return str(value.isoformat())


def _filter(name: str, value: Any) -> str | Sequence[str] | None:
    if isinstance(value, Mapping):
        return orjson.dumps(dict(value)).decode()
    if isinstance(value, list | tuple):
        return [non_blank_str(name, each) for each in non_empty_list(name, value, "text")]
    return _word(name, value)


def _word(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        reject(f"{name} must be a string that is not empty, not {value!r}")
    # str() of a member of a (str, Enum) gives its name.
    return None if value is None else str.__str__(value)


def _from_iso(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value) if len(value) <= len("2026-11-01") else datetime.fromisoformat(value)
    except ValueError:
        reject(f"{name} must be an ISO 8601 date or time, such as 2026-11-01, not {value!r:.200}")


def _day_bound(value: Any, at: time) -> Any:
    # A datetime is a date too, but already exact.
    return datetime.combine(value, at, UTC) if type(value) is date else value
