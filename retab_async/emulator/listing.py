"""Lists: what a query asks for, and the page that answers it."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Generic, NoReturn, TypeAlias

import attrs
from aiohttp import web

from retab_async.emulator.answers import HTTPError, problem
from retab_async.emulator.store import OrderedStore, ThingT

MAX_LIMIT = 100
# Tells whether a thing passes, at a time of the emulator's clock.
Test: TypeAlias = Callable[[ThingT, float], bool]


@attrs.frozen
class Filter(Generic[ThingT]):
    """A parameter of a query, and how its text becomes a test; where it is `repeatable`, one test passed is enough."""

    name: str
    read: Callable[[str], Test[ThingT]]
    repeatable: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True)
class ListSpec(Generic[ThingT]):
    """What a list can be asked for, and what is in it at all; a cursor that names nothing is refused, or ignored."""

    filters: tuple[Filter[ThingT], ...]
    shows: Test[ThingT] = lambda _, __: True
    limit: int = 10
    refuses_stray_cursors: bool = True


@attrs.frozen(kw_only=True)
class ListQuery(Generic[ThingT]):
    """What a list request asks for; a thing has to pass one test of each group."""

    before: str | None
    after: str | None
    limit: int
    ascending: bool
    shows: Test[ThingT]
    groups: tuple[tuple[Test[ThingT], ...], ...]

    def admits(self, thing: ThingT, now: float) -> bool:
        """Tell whether the filters let `thing` through."""
        return self.shows(thing, now) and all(any(test(thing, now) for test in group) for group in self.groups)


@attrs.frozen(kw_only=True)
class Page(Generic[ThingT]):
    """The things on a page, and whether there are more before and after them."""

    shown: list[ThingT]
    earlier: bool
    later: bool

    def envelope(self, views: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Answer with the views of the things."""
        shown = self.shown
        cursors = {
            "before": shown[0].id if shown and self.earlier else None,
            "after": shown[-1].id if shown and self.later else None,
        }
        return {"data": list(views), "list_metadata": cursors}


def read_wanted(listing: ListSpec[ThingT], request: web.BaseRequest) -> ListQuery[ThingT]:
    """Read a list's query, refusing what cannot be meant."""
    query = request.query
    before, after = query.get("before"), query.get("after")
    if before is not None and after is not None:
        raise HTTPError(400, "Give before or after, not both.")
    return ListQuery(
        before=before,
        after=after,
        limit=_limit(query.get("limit", str(listing.limit))),
        ascending=one_of("order", query.get("order", "desc"), ("asc", "desc")) == "asc",
        shows=listing.shows,
        groups=tuple(_tests(rule, query.getall(rule.name)) for rule in listing.filters if rule.name in query),
    )


def _tests(rule: Filter[ThingT], texts: list[str]) -> tuple[Test[ThingT], ...]:
    return tuple(map(rule.read, texts if rule.repeatable else texts[:1]))


def page(
    things: OrderedStore[ThingT], listing: ListSpec[ThingT], wanted: ListQuery[ThingT], now: float
) -> Page[ThingT]:
    """Find the page that answers `wanted`."""
    backward = wanted.before is not None
    cursor = _cursor(things, listing, wanted.before if backward else wanted.after)
    ahead, behind = _ways(things, cursor, upward=wanted.ascending != backward)
    found = list(islice((thing for thing in things.at(ahead) if wanted.admits(thing, now)), wanted.limit + 1))
    shown = found[: wanted.limit]
    more = [len(found) > wanted.limit, any(wanted.admits(thing, now) for thing in things.at(behind))]
    if backward:
        shown.reverse()
        more.reverse()
    return Page(shown=shown, later=more[0], earlier=more[1])


def _cursor(things: OrderedStore[ThingT], listing: ListSpec[ThingT], cursor: str | None) -> ThingT | None:
    thing = None if cursor is None else things.find(cursor)
    if cursor is not None and thing is None and listing.refuses_stray_cursors:
        raise HTTPError(422, f"Cursor {cursor!r} names nothing in this list.")
    return thing


def _ways(things: OrderedStore[ThingT], cursor: ThingT | None, *, upward: bool) -> tuple[range, range]:
    # The places ahead of the cursor and those behind it, both from the nearest on; it is itself behind.
    if cursor is None:
        return (range(len(things)) if upward else range(len(things) - 1, -1, -1)), range(0)
    at = things.place(cursor)
    if upward:
        return range(at + 1, len(things)), range(at, -1, -1)
    return range(at - 1, -1, -1), range(at, len(things))


def _limit(text: str) -> int:
    # int() alone would also take "1_0", " 10 " and digits of other scripts; and a long one is costly.
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        unusable("limit", f"Input should be an integer from 1 to {MAX_LIMIT}")
    return int(text)


def one_of(name: str, word: str, words: tuple[str, ...]) -> str:
    """Read a parameter that is one of some words."""
    if word not in words:
        unusable(name, f"Input should be one of {', '.join(words)}")
    return word


def unusable(name: str, message: str) -> NoReturn:
    """Refuse a parameter of a query."""
    raise HTTPError(422, [problem(("query", name), message, "value_error")])
