"""`retab-async splits list`: lists runs page by page."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.output import print_run_summary
from retab_async.cli.params import DATE_HELP, filter_options, json_option
from retab_async.client import AsyncRetab
from retab_async.models import Run
from retab_async.resources import RESOURCES

_MAX_PAGE_SIZE = 100


def list_command(kind: str, label: str) -> click.Command:
    """Return the command that lists runs of a kind."""
    help_text = f"List {label} runs.\n\nPrints the id, status, creation time and filename of each. {DATE_HELP}"

    @click.command("list", params=_params(kind), help=help_text)
    def list_(*, limit: int, all_rows: bool, ids_only: bool, as_json: bool, **filters: Any) -> int:
        if ids_only and as_json:
            msg = "give --ids or --json, not both"
            raise click.UsageError(msg)
        max_rows = sys.maxsize if all_rows or not limit else limit
        print_one = _print_id if ids_only else partial(print_run_summary, as_json=as_json)
        with cli_errors():
            asyncio.run(_list(kind, filters, max_rows, print_one))
        return 0

    return list_


def _params(kind: str) -> list[click.Parameter]:
    return [
        *filter_options(attrgetter("list")(RESOURCES[kind])),
        click.Option(
            ["--order"],
            type=click.Choice(["asc", "desc"]),
            default="desc",
            show_default=True,
            help="List the newest (desc) or the oldest (asc) first.",
        ),
        click.Option(
            ["--limit"],
            type=click.IntRange(min=0),
            default=100,
            show_default=True,
            metavar="N",
            help="List up to N runs.",
        ),
        click.Option(["--all", "all_rows"], is_flag=True, help="List all runs, as --limit 0 does."),
        click.Option(["--ids", "-q", "--quiet", "ids_only"], is_flag=True, help="Print only the ids, for cancel -."),
        json_option(),
    ]


def _print_id(run: Run) -> None:
    click.echo(escape_control_chars(run.id))


async def _list(kind: str, filters: dict[str, Any], max_rows: int, print_one: Callable[[Run], None]) -> None:
    async with AsyncRetab() as client:
        pager = attrgetter(kind)(client).list(**filters, limit=min(max_rows, _MAX_PAGE_SIZE))
        async with aclosing(pager.pages()) as pages:
            async for page in pages:
                for run in page.runs[:max_rows]:
                    print_one(run)
                max_rows -= len(page.runs)
                if max_rows <= 0:
                    return
