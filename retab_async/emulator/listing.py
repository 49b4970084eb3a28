"""Paginated lists: parsing of the query, and selection of the page."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Generic, NoReturn, TypeAlias

import attrs
from aiohttp import web

from retab_async.emulator.responses import HTTPError, problem
from retab_async.emulator.store import ItemT, OrderedStore

MAX_LIMIT = 100
# Whether an item matches, at a time of the emulator's clock.
Predicate: TypeAlias = Callable[[ItemT, float], bool]


@attrs.frozen
class Filter(Generic[ItemT]):
    """Query parameter that filters a list; of the values of a `repeatable` one a single match is enough."""

    name: str
    parse: Callable[[str], Predicate[ItemT]]
    repeatable: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True)
class ListSpec(Generic[ItemT]):
    """Parameters of a list.

    Attributes:
        filters: The filters it takes.
        is_visible: Which items are in the list at all.
        limit: The default page size.
        rejects_unknown_cursor: Whether a cursor that is no id is rejected, or ignored.
    """

    filters: tuple[Filter[ItemT], ...]
    is_visible: Predicate[ItemT] = lambda _, __: True
    limit: int = 10
    rejects_unknown_cursor: bool = True


@attrs.frozen(kw_only=True)
class ListQuery(Generic[ItemT]):
    """Parsed query of a list request; an item has to match one predicate of each group."""

    before: str | None
    after: str | None
    limit: int
    ascending: bool
    is_visible: Predicate[ItemT]
    groups: tuple[tuple[Predicate[ItemT], ...], ...]

    def matches(self, item: ItemT, now: float) -> bool:
        """Return whether the filters match `item`."""
        return self.is_visible(item, now) and all(any(test(item, now) for test in group) for group in self.groups)


@attrs.frozen(kw_only=True)
class ListPage(Generic[ItemT]):
    """Page of a list, and whether there are items before and after it."""

    items: list[ItemT]
    has_earlier: bool
    has_later: bool

    def envelope(self, views: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Render the page with the views of its items."""
        shown = self.items
        cursors = {
            "before": shown[0].id if shown and self.has_earlier else None,
            "after": shown[-1].id if shown and self.has_later else None,
        }
        return {"data": list(views), "list_metadata": cursors}


def parse_query(listing: ListSpec[ItemT], request: web.BaseRequest) -> ListQuery[ItemT]:
    """Parse the query of a list request; rejects contradictory or invalid parameters."""
    query = request.query
    before, after = query.get("before"), query.get("after")
    if before is not None and after is not None:
        raise HTTPError(400, "Give before or after, not both.")
    return ListQuery(
        before=before,
        after=after,
        limit=_parse_limit(query.get("limit", str(listing.limit))),
        ascending=parse_choice("order", query.get("order", "desc"), ("asc", "desc")) == "asc",
        is_visible=listing.is_visible,
        groups=tuple(_predicates(rule, query.getall(rule.name)) for rule in listing.filters if rule.name in query),
    )


def _predicates(rule: Filter[ItemT], texts: list[str]) -> tuple[Predicate[ItemT], ...]:
    return tuple(map(rule.parse, texts if rule.repeatable else texts[:1]))


def select_page(
    store: OrderedStore[ItemT], listing: ListSpec[ItemT], query: ListQuery[ItemT], now: float
) -> ListPage[ItemT]:
    """Select the page for a query."""
    is_backward = query.before is not None
    cursor = _cursor(store, listing, query.before if is_backward else query.after)
    ahead, behind = _scan_ranges(store, cursor, ascending=query.ascending != is_backward)
    found = list(islice((item for item in store.items_at(ahead) if query.matches(item, now)), query.limit + 1))
    shown = found[: query.limit]
    more = [len(found) > query.limit, any(query.matches(item, now) for item in store.items_at(behind))]
    if is_backward:
        shown.reverse()
        more.reverse()
    return ListPage(items=shown, has_later=more[0], has_earlier=more[1])


def _cursor(items: OrderedStore[ItemT], listing: ListSpec[ItemT], cursor: str | None) -> ItemT | None:
    item = None if cursor is None else items.find(cursor)
    if cursor is not None and item is None and listing.rejects_unknown_cursor:
        raise HTTPError(422, f"Cursor {cursor!r} is no id of this list.")
    return item


def _scan_ranges(items: OrderedStore[ItemT], cursor: ItemT | None, *, ascending: bool) -> tuple[range, range]:
    # The positions ahead of the cursor and those behind it, nearest first; the cursor itself is behind.
    if cursor is None:
        return (range(len(items)) if ascending else range(len(items) - 1, -1, -1)), range(0)
    at = items.position(cursor)
    if ascending:
        return range(at + 1, len(items)), range(at, -1, -1)
    return range(at - 1, -1, -1), range(at, len(items))


def _parse_limit(text: str) -> int:
    # int() alone would also take "1_0", " 10 " and digits of other scripts; and a long one is costly.
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        reject_parameter("limit", f"Input should be an integer from 1 to {MAX_LIMIT}")
    return int(text)


def parse_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Parse a parameter that has to be one of `choices`."""
    if value not in choices:
        reject_parameter(name, f"Input should be one of {', '.join(choices)}")
    return value


def reject_parameter(name: str, message: str) -> NoReturn:
    """Reject a query parameter."""
    raise HTTPError(422, [problem(("query", name), message, "value_error")])
