"""Lists that page themselves: what a list is asked for, and the walk from page to page."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlencode

import attrs
import orjson

from retab_async.text import single_line
from retab_async.validation import non_blank_str, non_empty_list, reject

ItemT = TypeVar("ItemT")
# Several words are sent as so many times the same key.
Query: TypeAlias = dict[str, str | Sequence[str]]

_MAX_LIMIT = 100

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class Page(Generic[ItemT]):
    """One page of a list: its `items`, and the ids to go on from in either direction, None where the list ends."""

    items: tuple[ItemT, ...]
    before: str | None = None
    after: str | None = None

    @property
    def runs(self) -> tuple[ItemT, ...]:
        """The items, which in the list of a collection of runs are runs."""
        return self.items


class RunPager(Generic[ItemT]):
    """What a list request finds: `async for run in ...`, or page by page with `pages()`.

    Nothing is asked before the first step, and each walk begins anew.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[ItemT]]], query: Query) -> None:
        self._fetch = fetch
        self._query = query

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncGenerator[Page[ItemT], None]:
        """Yield page by page; `page.after` is where `list(after=...)` goes on another day.

        Ends with the list, or where a cursor comes a second time.
        """
        query = dict(self._query)
        cursor = "before" if "before" in query else "after"
        seen: set[object] = {query.get(cursor)}
        while True:
            page = await self._fetch(urlencode(query, doseq=True))
            yield page
            reached = page.before if cursor == "before" else page.after
            if not reached:
                return
            if reached in seen:
                _logger.warning("the list came back to %s: it ends here", single_line(reached))
                return
            seen.add(reached)
            query[cursor] = reached


def list_query(  # noqa: PLR0913 - the filters that lists have in common, each by its name
    *,
    from_date: date | None,
    to_date: date | None,
    order: str,
    limit: int,
    before: str | None,
    after: str | None,
    **more: str | Sequence[str] | Mapping[str, str] | None,
) -> Query:
    """Return the query of a list request; raises `InvalidRequestError` for what the API would refuse.

    `more` are the filters that are not on every list: a text, several (any of them), or pairs (all of them).
    """
    if before is not None and after is not None:
        reject("give before or after, not both")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MAX_LIMIT:
        reject(f"limit must be a whole number from 1 to {_MAX_LIMIT}, not {limit!r}")
    if order not in {"asc", "desc"}:
        reject(f"order must be 'asc' or 'desc', not {order!r}")
    told = {
        "limit": str(limit),
        "order": order,
        **{name: _filter(name, value) for name, value in more.items()},
        "from_date": _moment("from_date", from_date),
        "to_date": _moment("to_date", to_date),
        "before": _text("before", before),
        "after": _text("after", after),
    }
    return {name: value for name, value in told.items() if value is not None}


def with_day_bounds(filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters whose days are from their first moment, or to their last, in UTC."""
    return filters | {
        name: _day_bound(filters[name], at) for name, at in (("from_date", time.min), ("to_date", time.max))
    }


def _filter(name: str, value: Any) -> str | Sequence[str] | None:
    if isinstance(value, Mapping):
        return orjson.dumps(dict(value)).decode()
    if isinstance(value, list | tuple):
        return [non_blank_str(name, each) for each in non_empty_list(name, value, "text")]
    return _text(name, value)


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        reject(f"{name} must be a text that is not empty, not {value!r}")
    # Of a member of an enum, str() gives its name.
    return None if value is None else str.__str__(value)


def _day_bound(value: Any, at: time) -> Any:
    # A datetime is a date too, but a moment already.
    return datetime.combine(value, at, UTC) if type(value) is date else value


def _moment(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            reject(f"{name} must say its timezone, as datetime.now(UTC) does")
        return value.isoformat()
    if not isinstance(value, date):
        reject(f"{name} must be a date or a datetime, not {value!r}")
    return str(value.isoformat())
