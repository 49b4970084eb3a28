"""The filters that lists have: each turns the text of one parameter into a test."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath
from typing import Any, Protocol

from retab_async.emulator.answers import HTTPError
from retab_async.emulator.listing import Filter, Test, one_of, unusable
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.store import Identified, ThingT

BARE_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
PATTERN_SIGNS = frozenset("\\^$*+?()[]{}|")
PRIMITIVE_STATUSES = ("pending", "queued", "in_progress", *TERMINAL)
TRIGGERS = ("manual", "api", "schedule", "webhook", "email", "restart")
# The emulator starts nothing on its own.
TRIGGER = "api"


class Dated(Identified, Protocol):
    """A thing with the date it was made on."""

    @property
    def created_at(self) -> datetime:
        """The date."""


def _from_date(text: str) -> Test[Dated]:
    earliest = _moment("from_date", text, time.min)
    return lambda thing, _: thing.created_at >= earliest


def _to_date(text: str) -> Test[Dated]:
    latest = _moment("to_date", text, time.max)
    return lambda thing, _: thing.created_at <= latest


def _moment(name: str, text: str, time_of_day: time) -> datetime:
    try:
        if BARE_DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass  # the form is right and there is no such day or hour: refused like any other
    detail = f"{name} is neither YYYY-MM-DD nor an RFC 3339 time: {text!r}"
    raise HTTPError(400, detail)


def name_begins(name: str, name_of: Callable[[ThingT], str]) -> Filter[ThingT]:
    """Let through what has a name that begins like the text, in either case."""

    def read(text: str) -> Test[ThingT]:
        return lambda thing, _: name_of(thing).lower().startswith(text.lower())

    return Filter(name, read)


def equals(name: str, value_of: Callable[[ThingT], Any]) -> Filter[ThingT]:
    """Let through what has the text as this value."""
    return Filter(name, lambda text: lambda thing, _: value_of(thing) == text)


def word_equals(name: str, words: tuple[str, ...], word_of: Callable[[ThingT, float], str]) -> Filter[ThingT]:
    """Let through what has this word, which has to be one of `words`."""

    def read(text: str) -> Test[ThingT]:
        word = one_of(name, text, words)
        return lambda thing, now: word_of(thing, now) == word

    return Filter(name, read)


def sorted_by(*orders: str) -> Filter[Any]:
    """Take the name of an order, and let everything through: things come in one order here, whatever it is called."""

    def read(text: str) -> Test[Any]:
        one_of("sort_by", text, orders)
        return lambda _, __: True

    return Filter("sort_by", read)


def _without_status(words: tuple[str, ...]) -> Filter[Run]:
    def read(text: str) -> Test[Run]:
        word = one_of("exclude_status", text, words)
        return lambda run, now: run.status(now) != word

    return Filter("exclude_status", read)


def _filename(run: Run) -> str:
    return run.document.filename


def _pattern(text: str) -> Test[Run]:
    if PATTERN_SIGNS & set(text):
        unusable("filename_regex", "Patterns are not supported: this is the beginning of a name")
    return FILENAME.read(text)


def _contained(text: str) -> Test[Run]:
    return lambda run, _: text.lower() in _filename(run).lower()


def _document_type(text: str) -> Test[Run]:
    return lambda run, _: PurePosixPath(_filename(run)).suffix.lower() == f".{text.lower()}"


def _metadata(text: str) -> Test[Run]:
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        unusable("metadata", "Input should be a JSON object")
    return lambda run, _: wanted.items() <= (run.asked["metadata"] or {}).items()


def _duration(name: str, admits: Callable[[float, int], bool]) -> Filter[Run]:
    def read(text: str) -> Test[Run]:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
            unusable(name, "Input should be a number of milliseconds")
        return lambda run, now: (took := duration_ms(run, now)) is not None and admits(took, int(text))

    return Filter(name, read)


def duration_ms(run: Run, now: float) -> int | None:
    """Tell how long a run worked that is over."""
    started, ended = run.life.started(now), run.life.ended(now)
    return None if started is None or ended is None else round((ended - started) * 1000)


FILENAME: Filter[Run] = name_begins("filename", _filename)
DATES: tuple[Filter[Any], ...] = (Filter("from_date", _from_date), Filter("to_date", _to_date))
METADATA = Filter("metadata", _metadata)
STATUS = word_equals("status", PRIMITIVE_STATUSES, Run.status)
TRIGGER_TYPE: Filter[Run] = word_equals("trigger_type", TRIGGERS, lambda _, __: TRIGGER)
SEARCH: Filter[Run] = Filter("search", lambda text: lambda run, _: text in run.id)
EXTRACTED = (
    Filter("filename_regex", _pattern),
    Filter("filename_contains", _contained),
    Filter("document_type", _document_type, repeatable=True),
    METADATA,
)
DURATIONS = (
    _duration("min_duration_ms", lambda took, least: took >= least),
    _duration("max_duration_ms", lambda took, most: took <= most),
)


def statuses(*words: str) -> tuple[Filter[Run], ...]:
    """Let through runs by their status, or all but those of a status."""
    return word_equals("status", words, Run.status), _without_status(words)
