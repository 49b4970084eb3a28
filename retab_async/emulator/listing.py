"""Lists of runs: what a query asks for, and the page that answers it."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Any

import attrs

from retab_async.emulator.answers import RefusedError, problem
from retab_async.emulator.life import STATUSES
from retab_async.emulator.runs import Run, Runs

MAX_LIMIT = 100
BARE_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@attrs.frozen(kw_only=True)
class Wanted:
    """What a list request asks for."""

    before: str | None
    after: str | None
    limit: int
    ascending: bool
    filename: str
    status: str | None
    earliest: datetime | None
    latest: datetime | None

    def admits(self, run: Run, now: float) -> bool:
        """Tell whether the filters let `run` through."""
        return (
            (not self.filename or run.file["filename"].lower().startswith(self.filename))
            and (self.status is None or run.life.status(now) == self.status)
            and (self.earliest is None or run.created_at >= self.earliest)
            and (self.latest is None or run.created_at <= self.latest)
        )


def read_wanted(query: Mapping[str, str]) -> Wanted:
    """Read a list's query, refusing what cannot be meant."""
    before, after = query.get("before"), query.get("after")
    if before is not None and after is not None:
        raise RefusedError(400, "Give before or after, not both.")
    return Wanted(
        before=before,
        after=after,
        limit=_limit(query.get("limit", "10")),
        ascending=_one_of("order", query.get("order", "desc"), ("asc", "desc")) == "asc",
        filename=query.get("filename", "").lower(),
        status=_one_of("status", query["status"], STATUSES) if "status" in query else None,
        earliest=_moment("from_date", query["from_date"], time.min) if "from_date" in query else None,
        latest=_moment("to_date", query["to_date"], time.max) if "to_date" in query else None,
    )


def page(runs: Runs, wanted: Wanted, now: float) -> dict[str, Any]:
    """Answer `wanted` with one page in the list envelope."""
    backward = wanted.before is not None
    ahead, behind = _ways(runs, wanted.before if backward else wanted.after, upward=wanted.ascending != backward)
    found = list(islice((run for run in runs.at(ahead) if wanted.admits(run, now)), wanted.limit + 1))
    shown = found[: wanted.limit]
    more = [len(found) > wanted.limit, any(wanted.admits(run, now) for run in runs.at(behind))]
    if backward:
        shown.reverse()
        more.reverse()
    return _envelope(shown, later=more[0], earlier=more[1], now=now)


def _ways(runs: Runs, cursor: str | None, *, upward: bool) -> tuple[range, range]:
    # The places ahead of the cursor and those behind it, both from the nearest on; it is itself behind.
    if cursor is None:
        return (range(len(runs)) if upward else range(len(runs) - 1, -1, -1)), range(0)
    run = runs.find(cursor)
    if run is None:
        raise RefusedError(422, f"Cursor {cursor!r} names nothing in this list.")
    at = runs.place(run)
    if upward:
        return range(at + 1, len(runs)), range(at, -1, -1)
    return range(at - 1, -1, -1), range(at, len(runs))


def _envelope(shown: list[Run], *, later: bool, earlier: bool, now: float) -> dict[str, Any]:
    cursors = {
        "before": shown[0].id if shown and earlier else None,
        "after": shown[-1].id if shown and later else None,
    }
    return {"data": [run.full(now) for run in shown], "list_metadata": cursors}


def _limit(text: str) -> int:
    # int() alone would also take "1_0", " 10 " and digits of other scripts; and a long one is costly.
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise RefusedError(422, _unusable("limit", f"Input should be an integer from 1 to {MAX_LIMIT}"))
    return int(text)


def _one_of(name: str, word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise RefusedError(422, _unusable(name, f"Input should be one of {', '.join(words)}"))
    return word


def _unusable(name: str, message: str) -> list[dict[str, Any]]:
    return [problem(("query", name), message, "value_error")]


def _moment(name: str, text: str, time_of_day: time) -> datetime:
    try:
        if BARE_DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass  # the form is right and there is no such day or hour: refused like any other
    detail = f"{name} is neither YYYY-MM-DD nor an RFC 3339 time: {text!r}"
    raise RefusedError(400, detail)
