"""The parameters that several commands have."""

import re
from datetime import date, datetime

import click


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
