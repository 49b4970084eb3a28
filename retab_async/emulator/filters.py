"""Filters of lists: each turns the text of one query parameter into a predicate."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath
from typing import Any, Protocol

from retab_async.emulator.listing import Filter, Predicate, parse_choice, reject_parameter
from retab_async.emulator.responses import HTTPError
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.store import Identified, ItemT

BARE_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
REGEX_CHARS = frozenset("\\^$*+?()[]{}|")
PRIMITIVE_STATUSES = ("pending", "queued", "in_progress", *TERMINAL)
TRIGGERS = ("manual", "api", "schedule", "webhook", "email", "restart")
# Every run of the emulator is started by a request.
TRIGGER = "api"


class Dated(Identified, Protocol):
    """Item with the date of its creation."""

    @property
    def created_at(self) -> datetime:
        """The date."""


def _from_date(text: str) -> Predicate[Dated]:
    earliest = _parse_date("from_date", text, time.min)
    return lambda item, _: item.created_at >= earliest


def _to_date(text: str) -> Predicate[Dated]:
    latest = _parse_date("to_date", text, time.max)
    return lambda item, _: item.created_at <= latest


def _parse_date(name: str, text: str, time_of_day: time) -> datetime:
    try:
        if BARE_DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass  # well-formed, but no such day or hour: rejected below
    detail = f"{name} is neither YYYY-MM-DD nor an RFC 3339 time: {text!r}"
    raise HTTPError(400, detail)


def name_prefix(name: str, name_of: Callable[[ItemT], str]) -> Filter[ItemT]:
    """Make the filter for a case-insensitive prefix of a name."""

    def read(text: str) -> Predicate[ItemT]:
        return lambda item, _: name_of(item).lower().startswith(text.lower())

    return Filter(name, read)


def equals(name: str, value_of: Callable[[ItemT], Any]) -> Filter[ItemT]:
    """Make the filter for an exact value."""
    return Filter(name, lambda text: lambda item, _: value_of(item) == text)


def enum_equals(name: str, choices: tuple[str, ...], value_of: Callable[[ItemT, float], str]) -> Filter[ItemT]:
    """Make the filter for a value that has to be one of `choices`."""

    def read(text: str) -> Predicate[ItemT]:
        value = parse_choice(name, text, choices)
        return lambda item, now: value_of(item, now) == value

    return Filter(name, read)


def sort_order(*orders: str) -> Filter[Any]:
    """Make the parameter `sort_by`, which accepts these names and changes nothing: there is only one order."""

    def read(text: str) -> Predicate[Any]:
        parse_choice("sort_by", text, orders)
        return lambda _, __: True

    return Filter("sort_by", read)


def _status_differs(choices: tuple[str, ...]) -> Filter[Run]:
    def read(text: str) -> Predicate[Run]:
        value = parse_choice("exclude_status", text, choices)
        return lambda run, now: run.status(now) != value

    return Filter("exclude_status", read)


def _filename(run: Run) -> str:
    return run.document.filename


def _pattern(text: str) -> Predicate[Run]:
    if REGEX_CHARS & set(text):
        reject_parameter("filename_regex", "Patterns are not supported: this is the beginning of a name")
    return FILENAME.parse(text)


def _filename_contains(text: str) -> Predicate[Run]:
    return lambda run, _: text.lower() in _filename(run).lower()


def _document_type(text: str) -> Predicate[Run]:
    return lambda run, _: PurePosixPath(_filename(run)).suffix.lower() == f".{text.lower()}"


def _metadata(text: str) -> Predicate[Run]:
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        reject_parameter("metadata", "Input should be a JSON object")
    return lambda run, _: wanted.items() <= (run.request["metadata"] or {}).items()


def _duration(name: str, admits: Callable[[float, int], bool]) -> Filter[Run]:
    def read(text: str) -> Predicate[Run]:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
            reject_parameter(name, "Input should be a number of milliseconds")
        return lambda run, now: (duration := duration_ms(run, now)) is not None and admits(duration, int(text))

    return Filter(name, read)


def duration_ms(run: Run, now: float) -> int | None:
    """Return how long a terminal run was in progress, in milliseconds."""
    started, ended = run.timeline.started_at(now), run.timeline.ended_at(now)
    return None if started is None or ended is None else round((ended - started) * 1000)


FILENAME: Filter[Run] = name_prefix("filename", _filename)
DATES: tuple[Filter[Any], ...] = (Filter("from_date", _from_date), Filter("to_date", _to_date))
METADATA = Filter("metadata", _metadata)
STATUS = enum_equals("status", PRIMITIVE_STATUSES, Run.status)
TRIGGER_TYPE: Filter[Run] = enum_equals("trigger_type", TRIGGERS, lambda _, __: TRIGGER)
SEARCH: Filter[Run] = Filter("search", lambda text: lambda run, _: text in run.id)
EXTRACTION_FILTERS = (
    Filter("filename_regex", _pattern),
    Filter("filename_contains", _filename_contains),
    Filter("document_type", _document_type, repeatable=True),
    METADATA,
)
DURATIONS = (
    _duration("min_duration_ms", lambda duration, minimum: duration >= minimum),
    _duration("max_duration_ms", lambda duration, maximum: duration <= maximum),
)


def status_filters(*choices: str) -> tuple[Filter[Run], ...]:
    """Make the filters `status` and `exclude_status`."""
    return enum_equals("status", choices, Run.status), _status_differs(choices)
