"""The options that the commands have that cancel many runs."""

import os

import click

from retab_async.cli.options import limit_from
from retab_async.pacing import RateLimit


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
            ["--patience"],
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
