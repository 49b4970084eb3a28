"""`retab-async splits list`: runs page by page, as they come."""

import asyncio
import sys
from contextlib import aclosing
from inspect import signature
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors
from retab_async.cli.output import print_json, print_row, summary
from retab_async.cli.params import date_options, json_option, metadata_option, none_for_none
from retab_async.client import AsyncRetab
from retab_async.converter import unstructure
from retab_async.models import Run
from retab_async.resources import RESOURCES

_LARGEST_PAGE = 100


# Each is offered by the kinds whose list has an argument of its name.
_FILTERS = (
    click.Option(["--workflow-id"], metavar="ID", help="Those of this workflow."),
    click.Option(["--eval-id"], metavar="ID", help="Those of this eval."),
    click.Option(["--target-block-id"], metavar="ID", help="Those that evaluate this block."),
    click.Option(["--experiment-id"], metavar="ID", help="Those of this experiment."),
    click.Option(["--block-id"], metavar="ID", help="Those of this block."),
    click.Option(["--template-id"], metavar="ID", help="Those that fill in this template."),
    click.Option(["--status"], help="Those in this status, such as completed."),
    click.Option(["--exclude-status"], metavar="STATUS", help="Those that are not in this status."),
    click.Option(["--trigger-type"], metavar="WORD", help="Those that were started so: api, manual, schedule, ..."),
    click.Option(["--search"], metavar="PART", help="Those with this in their id."),
    click.Option(["--filename"], metavar="START", help="Those whose filename begins so, in either case."),
    click.Option(["--filename-contains"], metavar="PART", help="Those with this in their filename, in either case."),
    click.Option(
        ["--document-type"],
        multiple=True,
        callback=none_for_none,
        metavar="EXTENSION",
        help="Those of a file with this extension, such as pdf; if given more than once, with any of them.",
    ),
    metadata_option("Those that have this; if given more than once, all of it."),
    click.Option(["--min-duration-ms"], type=click.IntRange(min=0), metavar="MS", help="Those that took so long."),
    click.Option(["--max-duration-ms"], type=click.IntRange(min=0), metavar="MS", help="Those that took no longer."),
    *date_options(),
    click.Option(["--order"], type=click.Choice(["asc", "desc"]), default="desc", help="desc: the newest first."),
)


def _options(name: str) -> list[click.Parameter]:
    arguments = signature(attrgetter("list")(RESOURCES[name])).parameters
    return [
        *(option for option in _FILTERS if option.name in arguments),
        click.Option(["--limit"], type=click.IntRange(min=0), default=100, show_default=True, help="Rows at most."),
        click.Option(["--all", "limitless"], is_flag=True, help="All rows, as --limit 0 does."),
        json_option(),
    ]


def list_command(name: str, kind: str) -> click.Command:
    """Return the command that lists runs of a kind."""
    told = (
        f"List {kind} runs.\n\n"
        "A line has the id, the status, when it was created, and the filename if there is one. "
        "A DATE is a day in UTC, 2026-11-01, or a moment, 2026-11-01T09:30:00+01:00."
    )

    @click.command("list", params=_options(name), help=told)
    def list_(*, limit: int, limitless: bool, as_json: bool, **filters: Any) -> int:
        most = sys.maxsize if limitless or not limit else limit
        with cli_errors():
            asyncio.run(_list(name, filters, most, as_json=as_json))
        return 0

    return list_


async def _list(name: str, filters: dict[str, Any], most: int, *, as_json: bool) -> None:
    async with AsyncRetab() as client:
        found = attrgetter(name)(client).list(**filters, limit=min(most, _LARGEST_PAGE))
        async with aclosing(found.pages()) as pages:
            async for page in pages:
                for run in page.runs[:most]:
                    _print(run, as_json=as_json)
                most -= len(page.runs)
                if most <= 0:
                    return


def _print(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(unstructure(run))
    else:
        print_row(summary(run))
