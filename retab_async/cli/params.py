"""The parameters that several commands have."""

import os
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from retab_async.throttle import RateLimit


def json_option() -> click.Option:
    """Return `--json`."""
    return click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line.")


def timeout_option() -> click.Option:
    """Return `--timeout`, None where it is not given."""
    seconds = click.FloatRange(min=0, min_open=True)
    return click.Option(["--timeout"], type=seconds, metavar="SECONDS", help="Wait no longer; by default an hour.")


def ids_argument() -> click.Argument:
    """Return `ID...`, of which there is at least one."""
    return click.Argument(["ids"], nargs=-1, required=True, metavar="ID...")


def date_options() -> tuple[click.Option, ...]:
    """Return `--from-date` and `--to-date`."""
    return (
        click.Option(["--from-date"], type=_date_from, metavar="DATE", help="Those created then or later."),
        click.Option(["--to-date"], type=_date_from, metavar="DATE", help="Those created then or earlier."),
    )


def limit_from(text: str) -> tuple[int, float]:
    """Read a rate limit as it is typed: `300/60`, so many requests in so many seconds."""
    found = re.fullmatch(r"([1-9]\d*)/(\d+(?:\.\d+)?)", text)
    if not found or not float(found[2]):
        msg = f"{text!r} is not REQUESTS/SECONDS, such as 300/60"
        raise click.BadParameter(msg)
    return int(found[1]), float(found[2])


def _date_from(text: str) -> date:
    """Read a date, `2026-11-01`, or a moment with its offset, `2026-11-01T09:30:00+01:00`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{text!r} is neither a date, such as 2026-11-01, nor a moment with its offset: 2026-11-01T09:30:00+01:00"
        raise click.BadParameter(msg)
    return moment


def key_value_option(names: list[str], metavar: str, told: str, read: Callable[[str], Any] = str) -> click.Option:
    """Return an option whose value is a mapping, or None where it is not given; `read` reads what is after the `=`."""

    def pair_from(text: str) -> tuple[str, Any]:
        name, equals, rest = text.partition("=")
        if not equals:
            msg = f"{text!r} is not {metavar}"
            raise click.BadParameter(msg)
        return name, read(rest)

    return click.Option(names, type=pair_from, multiple=True, callback=_gathered, metavar=metavar, help=told)


def metadata_option(told: str) -> click.Option:
    """Return `--metadata`."""
    return key_value_option(["--metadata"], "NAME=TEXT", told)


def none_for_none(_: click.Context, __: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Take an option that may be given several times for untold where it is not given at all."""
    return values or None


def _gathered(
    _: click.Context, parameter: click.Parameter, pairs: tuple[tuple[str, Any], ...]
) -> dict[str, Any] | None:
    gathered = dict(pairs)
    if len(gathered) < len(pairs):
        msg = f"a name stands there twice: {parameter.metavar} is given once for each"
        raise click.BadParameter(msg)
    return gathered or None


MODEL = click.Option(["--model"], metavar="NAME", help="The model; by default the service's small one.")
INSTRUCTIONS = click.Option(["--instructions"], metavar="TEXT", help="What else there is to know.")
BUST_CACHE = click.Option(["--bust-cache"], is_flag=True, help="Not from the service's cache.")
SOURCES = click.Option(
    ["--sources"], type=click.Choice(["located", "cited"]), help="Tell where in the documents results come from."
)


def votes(most: int) -> click.Option:
    """Return `--n-consensus`, of so many at the most."""
    return click.Option(["--n-consensus"], type=click.IntRange(1, most), help="Votes to take; by default one.")


def json_from(text: str | bytes) -> Any:
    """Read JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        msg = f"this is no JSON: {error}"
        raise click.BadParameter(msg) from None


def json_object_from(text: str) -> Any:
    """Read a JSON object: what begins with a brace is one, anything else the path of a file."""
    if text.lstrip().startswith("{"):
        return json_from(text)
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        msg = f"{text!r} cannot be read: {error.strerror}"
        raise click.BadParameter(msg) from None
    return json_from(content)


def rate_limit_from(text: str) -> RateLimit:
    """Read a rate limit as it is typed, `300/60`."""
    requests, seconds = limit_from(text)
    return RateLimit(requests, per=seconds)


def terms_options() -> list[click.Parameter]:
    """Return the options whose names are arguments of `cancel_many`."""
    whole, seconds = click.IntRange(min=1), click.FloatRange(min=0, min_open=True)
    limit = "Keep to it from the start, such as 300/60; by default what the API bears."
    journal = "Take down what became of each; given again, those that are settled are skipped."
    return [
        click.Option(["--concurrency"], type=whole, default=64, metavar="N", help="Cancels at once; by default 64."),
        click.Option(["--rate-limit"], type=rate_limit_from, metavar="REQUESTS/SECONDS", help=limit),
        click.Option(["--journal"], type=click.Path(dir_okay=False), metavar="FILE", help=journal),
        click.Option(["--wait"], is_flag=True, help="Follow each to its end."),
        click.Option(
            ["--wait-timeout"],
            type=seconds,
            default=3600.0,
            metavar="SECONDS",
            help="Follow one run for at most this long, with --wait; by default an hour.",
        ),
        click.Option(
            ["--outage-timeout"],
            type=seconds,
            default=60.0,
            metavar="SECONDS",
            help="For how long the API may be away; by default a minute.",
        ),
    ]


def told_options(*, has_kinds: bool = False) -> list[click.Parameter]:
    """Return the options that say how a job is told of."""
    row = "a line KIND,ID" if has_kinds else "an id a line"
    return [
        click.Option(
            ["--failed"],
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help=f"Write there which could not be cancelled, {row}.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line, as they come."),
    ]


def file_option(told: str, *, is_required: bool = False) -> click.Option:
    """Return `--from-file`."""
    return click.Option(["--from-file"], required=is_required, metavar="FILE", help=told)


def check_distinct(from_file: str | None, journal: str | None, failed: str | None) -> None:
    """Wrong usage where one file is to be two things: what is written would take the place of what is read."""
    given = [os.path.realpath(path) for path in (from_file, journal, failed) if path is not None]
    if len(set(given)) < len(given):
        msg = "--from-file, --journal and --failed must be different files"
        raise click.UsageError(msg)
