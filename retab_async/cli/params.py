"""Options and arguments shared by several commands, and the parsers of their values."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from datetime import date, datetime
from inspect import signature
from pathlib import Path
from typing import Any

import click

from retab_async.errors import ConfigurationError
from retab_async.json_codec import loads
from retab_async.throttle import FileRateLimit, RateLimit, SharedRateLimit

POSITIVE_INT = click.IntRange(min=1)
POSITIVE_SECONDS = click.FloatRange(min=0, min_open=True)
OUTPUT_FILE = click.Path(dir_okay=False)

_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600}

_QUIET_KEY = "retab_async.quiet"
_QUIET_HELP = "Print no progress, only results and errors."

DATE_HELP = "A DATE is a day in UTC, 2026-11-01, or a time with its offset, 2026-11-01T09:30:00+01:00."


def parse_rate_limit(text: str) -> tuple[int, float]:
    """Parse `REQUESTS/SECONDS`, such as `300/60`, or `REQUESTS/UNIT`, such as `300/min`."""
    match = re.fullmatch(r"([1-9]\d*)/(?:(\d+(?:\.\d+)?)|(s|sec|min|h|hour))", text)
    seconds = float(match[2] or _SECONDS[match[3]]) if match else 0.0
    if not match or not seconds:
        msg = f"{text!r} is not REQUESTS/SECONDS, such as 300/60 or 300/min"
        raise click.BadParameter(msg)
    return int(match[1]), seconds


def parse_date(text: str) -> date:
    """Parse a date, `2026-11-01`, or a time with its offset, `2026-11-01T09:30:00+01:00`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{text!r} is neither a date, such as 2026-11-01, nor a time with its offset: 2026-11-01T09:30:00+01:00"
        raise click.BadParameter(msg)
    return moment


def parse_json(text: str | bytes) -> Any:
    """Parse JSON."""
    try:
        return loads(text.encode() if isinstance(text, str) else text)
    except ValueError as error:
        msg = f"not valid JSON: {error}"
        raise click.BadParameter(msg) from None


def parse_json_object(text: str) -> Any:
    """Parse a JSON object if the text begins with a brace, or else the file at that path."""
    if text.lstrip().startswith("{"):
        return parse_json(text)
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        msg = f"{text!r} cannot be read: {error.strerror}"
        raise click.BadParameter(msg) from None
    return parse_json(content)


def empty_to_none(_: click.Context, __: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return None for a repeatable option that was not given."""
    return values or None


def json_option() -> click.Option:
    """Return `--json`."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object per line.")


def quiet_option() -> click.Option:
    """Return `--quiet`."""
    return click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_set_quiet, help=_QUIET_HELP)


def _set_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callback
    context.meta[_QUIET_KEY] = value


def is_quiet() -> bool:
    """Return whether the command was called with `--quiet`."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_QUIET_KEY, False)


def timeout_option() -> click.Option:
    """Return `--timeout`, whose value is None if it is not given."""
    return click.Option(
        ["--timeout"],
        type=POSITIVE_SECONDS,
        metavar="SECONDS",
        show_default="3600",
        help="Stop waiting after this time.",
    )


def ids_argument() -> click.Argument:
    """Return `ID...`, of which at least one is required."""
    return click.Argument(["ids"], nargs=-1, required=True, metavar="ID...")


def key_value_option(names: list[str], metavar: str, help_text: str, parse: Callable[[str], Any] = str) -> click.Option:
    """Return a repeatable option whose value is a dict, or None if it is not given; `parse` reads each value."""

    def parse_pair(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"{text!r} is not {metavar}"
            raise click.BadParameter(msg)
        return name, parse(value)

    return click.Option(names, type=parse_pair, multiple=True, callback=_to_dict, metavar=metavar, help=help_text)


def _to_dict(_: click.Context, parameter: click.Parameter, pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any] | None:
    values = dict(pairs)
    if len(values) < len(pairs):
        msg = f"a name is given twice: use each name of {parameter.metavar} once"
        raise click.BadParameter(msg)
    return values or None


def metadata_option(help_text: str) -> click.Option:
    """Return `--metadata`."""
    return key_value_option(["--metadata"], "NAME=TEXT", help_text)


_FILTERS = (
    click.Option(["--workflow-id"], metavar="ID", help="Only runs of this workflow."),
    click.Option(["--eval-id"], metavar="ID", help="Only runs of this eval."),
    click.Option(["--target-block-id"], metavar="ID", help="Only runs that evaluate this block."),
    click.Option(["--experiment-id"], metavar="ID", help="Only runs of this experiment."),
    click.Option(["--block-id"], metavar="ID", help="Only runs of this block."),
    click.Option(["--template-id"], metavar="ID", help="Only runs that fill in this template."),
    click.Option(["--status"], metavar="STATUS", help="Only runs in this status, such as in_progress."),
    click.Option(["--exclude-status"], metavar="STATUS", help="Only runs that are not in this status."),
    click.Option(["--trigger-type"], metavar="TYPE", help="Only runs started this way: api, manual, schedule, ..."),
    click.Option(["--search"], metavar="TEXT", help="Only runs whose id contains TEXT."),
    click.Option(["--filename"], metavar="PREFIX", help="Only runs whose filename begins with PREFIX, in any case."),
    click.Option(["--filename-contains"], metavar="TEXT", help="Only runs whose filename contains TEXT, in any case."),
    click.Option(
        ["--document-type"],
        multiple=True,
        callback=empty_to_none,
        metavar="EXTENSION",
        help="Only runs of files with this extension, such as pdf; repeat it to allow several.",
    ),
    metadata_option("Only runs with this metadata; repeat it to require several pairs."),
    click.Option(
        ["--min-duration-ms"], type=click.IntRange(min=0), metavar="MS", help="Only runs that took at least MS."
    ),
    click.Option(
        ["--max-duration-ms"], type=click.IntRange(min=0), metavar="MS", help="Only runs that took at most MS."
    ),
    click.Option(["--from-date"], type=parse_date, metavar="DATE", help="Only runs created on or after DATE."),
    click.Option(["--to-date"], type=parse_date, metavar="DATE", help="Only runs created on or before DATE."),
)


def filter_options(method: Callable[..., Any]) -> list[click.Option]:
    """Return an option for each filter that is a parameter of `list` or `cancel_matching`."""
    parameters = signature(method).parameters
    return [option for option in _FILTERS if option.name in parameters]


MODEL = click.Option(["--model"], metavar="NAME", help="Use this model instead of the service's small one.")
INSTRUCTIONS = click.Option(["--instructions"], metavar="TEXT", help="Give the model extra instructions.")
BUST_CACHE = click.Option(["--bust-cache"], is_flag=True, help="Bypass the service's cache.")
SOURCES = click.Option(
    ["--sources"], type=click.Choice(["located", "cited"]), help="Add where in the documents each result comes from."
)


def n_consensus_option(maximum: int) -> click.Option:
    """Return `--n-consensus`, from 1 to a maximum."""
    return click.Option(
        ["--n-consensus"],
        type=click.IntRange(1, maximum),
        metavar="N",
        show_default="1",
        help=f"Run the model N times, 1 to {maximum}, and combine the results.",
    )


def _to_rate_limit(text: str) -> RateLimit:
    requests, seconds = parse_rate_limit(text)
    return RateLimit(requests, per=seconds)


def rate_limit_options() -> list[click.Parameter]:
    """Return `--rate-limit` and `--shared`."""
    return [
        click.Option(
            ["--rate-limit"],
            type=_to_rate_limit,
            metavar="REQUESTS/SECONDS",
            help="Stay below this rate, such as 300/60 or 300/min, instead of learning the API's limit. For "
            "this process only: see --shared.",
        ),
        click.Option(
            ["--shared"],
            metavar="PATH|URL",
            help="Share the --rate-limit with all processes that name the same file of this machine, or the same Redis "
            "server, redis://HOST:PORT.",
        ),
    ]


def shared_limit(rate_limit: RateLimit | None, shared: str | None) -> SharedRateLimit | None:
    """Return the limit of `--shared`, None if it is not given; `click.UsageError` if it cannot work."""
    if shared is None:
        return None
    if rate_limit is None:
        msg = "--shared needs a limit to share: add --rate-limit, such as 300/60"
        raise click.UsageError(msg)
    try:
        if "://" not in shared:
            if ":" in shared.partition("/")[0]:
                # An address without a scheme would be a file, which other machines do not share.
                msg = "--shared is neither a path nor a URL: write redis://HOST:PORT, or ./NAME for a file with a colon"
                raise click.UsageError(msg)
            return FileRateLimit(shared, rate_limit.requests, per=rate_limit.per)
        from retab_async.integrations.redis import RedisRateLimit  # noqa: PLC0415 - for this option alone

        limit = RedisRateLimit(shared, rate_limit.requests, per=rate_limit.per)
        asyncio.run(limit.check())
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    return limit


def pop_shared_limit(options: dict[str, Any]) -> SharedRateLimit | None:
    """Remove `shared` from the options of a job, and `rate_limit` if it is shared, and return the limit to share."""
    limit = shared_limit(options["rate_limit"], options.pop("shared"))
    if limit is not None:
        options["rate_limit"] = None
    return limit


def bulk_options() -> list[click.Parameter]:
    """Return the options that are arguments of `cancel_many` of the same name."""
    return [
        concurrency_option("Send up to N cancels at the same time."),
        *rate_limit_options(),
        click.Option(
            ["--journal"],
            type=OUTPUT_FILE,
            metavar="FILE",
            help="Record each outcome in FILE; with the same FILE again, skip the settled ids.",
        ),
        click.Option(["--wait"], is_flag=True, help="Wait until each run is in a terminal status."),
        wait_timeout_option("Wait for one run for at most this time, with --wait."),
        outage_timeout_option(),
    ]


def report_options() -> list[click.Parameter]:
    """Return the options for the output of a bulk job."""
    return [
        click.Option(
            ["--failed"],
            type=OUTPUT_FILE,
            metavar="FILE",
            help="Write the runs that could not be cancelled to FILE, as CSV, or only their ids if it ends with .txt.",
        ),
        quiet_option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object per line, as outcomes arrive."),
    ]


def check_distinct(from_file: str | None, journal: str | None, failed: str | None) -> None:
    """Raise `click.UsageError` if one file has two roles, under whatever name: writing it would destroy the input."""
    files = [_identity(path) for path in (journal, failed) if path is not None]
    if from_file is not None:
        files.append(_identity_of_stdin() if from_file == "-" else _identity(from_file))
    if len(set(files)) < len(files):
        msg = "--from-file, --journal and --failed must be different files"
        raise click.UsageError(msg)


def _identity(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - its sibling is os.fstat
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def _identity_of_stdin() -> object:
    # Without a stdin, opening it reports the error.
    found = os.fstat(sys.stdin.fileno()) if sys.stdin else None
    return found and (found.st_dev, found.st_ino)


def concurrency_option(description: str) -> click.Option:
    """Return the option for the number of workers of a job."""
    return click.Option(
        ["--concurrency"], type=POSITIVE_INT, default=64, show_default=True, metavar="N", help=description
    )


def wait_timeout_option(description: str) -> click.Option:
    """Return the option for the longest time that a job follows one run."""
    return _seconds_option("--wait-timeout", 3600.0, description)


def outage_timeout_option() -> click.Option:
    """Return the option for the outage after which a job gives up."""
    return _seconds_option("--outage-timeout", 60.0, "Give up after the API has been unavailable for this time.")


def _seconds_option(name: str, default: float, description: str) -> click.Option:
    return click.Option(
        [name], type=POSITIVE_SECONDS, default=default, show_default=True, metavar="SECONDS", help=description
    )
