"""`retab-async splits list`: lists runs page by page."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.credentials import open_client
from retab_async.cli.output import print_run_summary
from retab_async.cli.params import DATE_HELP, filter_options, json_option
from retab_async.resources import RESOURCES

_MAX_PAGE_SIZE = 100


def list_command(kind: str, label: str) -> click.Command:
    """Return the command that lists runs of a kind."""
    help_text = f"List {label} runs.\n\nPrints the id, status, creation time and filename of each. {DATE_HELP}"
    params = [*filter_options(attrgetter("list")(RESOURCES[kind])), *list_options("runs")]

    @click.command("list", params=params, help=help_text)
    def list_(**options: Any) -> int:
        return print_list(kind, options, print_run_summary)

    return list_


def list_options(plural: str) -> list[click.Parameter]:
    """Return the options of a list that are no filters."""
    return [
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
            help=f"List up to N {plural}.",
        ),
        click.Option(["--all", "all_rows"], is_flag=True, help=f"List all {plural}, as --limit 0 does."),
        click.Option(["--ids", "-q", "--quiet", "ids_only"], is_flag=True, help="Print only the ids, one a line."),
        json_option(),
    ]


def print_list(resource: str, options: Mapping[str, Any], print_item: Callable[..., None]) -> int:
    """Print the items of a list, page by page, and return the exit code.

    Args:
        resource: The path of the resource on the client, such as `workflows.runs`.
        options: The values of `list_options`, and the filters.
        print_item: Prints an item; takes `as_json`.
    """
    filters = dict(options)
    limit, all_rows, ids_only, as_json = map(filters.pop, ("limit", "all_rows", "ids_only", "as_json"))
    if ids_only and as_json:
        msg = "give --ids or --json, not both"
        raise click.UsageError(msg)
    max_rows = sys.maxsize if all_rows or not limit else limit
    print_one = _print_id if ids_only else partial(print_item, as_json=as_json)
    with cli_errors():
        asyncio.run(_list(resource, filters, max_rows, print_one))
    return 0


def _print_id(item: Any) -> None:
    click.echo(escape_control_chars(item.id))


async def _list(resource: str, filters: dict[str, Any], max_rows: int, print_one: Callable[[Any], None]) -> None:
    async with open_client() as client:
        pager = attrgetter(resource)(client).list(**filters, limit=min(max_rows, _MAX_PAGE_SIZE))
        async with aclosing(pager.pages()) as pages:
            async for page in pages:
                for item in page.items[:max_rows]:
                    print_one(item)
                max_rows -= len(page.items)
                if max_rows <= 0:
                    return
