"""`retab-async splits list`: runs page by page, as they come."""

import asyncio
import sys
from contextlib import aclosing
from datetime import date, datetime
from typing import Any

import click

from retab_async.cli.failures import failures_told
from retab_async.cli.options import json_option
from retab_async.cli.printing import brief, print_json, print_row
from retab_async.client import AsyncRetab
from retab_async.converter import unstructure
from retab_async.models import Run

_LARGEST_PAGE = 100


def date_from(text: str) -> date:
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


def _options() -> list[click.Parameter]:
    return [
        click.Option(["--status"], help="Those in this status, such as completed."),
        click.Option(["--filename"], metavar="START", help="Those whose filename begins so, in either case."),
        click.Option(["--from-date"], type=date_from, metavar="DATE", help="Those created then or later."),
        click.Option(["--to-date"], type=date_from, metavar="DATE", help="Those created then or earlier."),
        click.Option(["--order"], type=click.Choice(["asc", "desc"]), default="desc", help="desc: the newest first."),
        click.Option(["--limit"], type=click.IntRange(min=0), default=100, show_default=True, help="Rows at most."),
        click.Option(["--all", "limitless"], is_flag=True, help="All rows, as --limit 0 does."),
        json_option(),
    ]


def list_command(name: str, kind: str) -> click.Command:
    """Return the command that lists runs of a kind."""
    told = (
        f"List {kind} runs.\n\n"
        "A line has the id, the status, when it was created, and the filename. "
        "A DATE is a day in UTC, 2026-11-01, or a moment, 2026-11-01T09:30:00+01:00."
    )

    @click.command("list", params=_options(), help=told)
    def list_(*, limit: int, limitless: bool, as_json: bool, **filters: Any) -> int:
        most = sys.maxsize if limitless or not limit else limit
        with failures_told():
            asyncio.run(_list(name, filters, most, as_json=as_json))
        return 0

    return list_


async def _list(name: str, filters: dict[str, Any], most: int, *, as_json: bool) -> None:
    async with AsyncRetab() as client:
        found = getattr(client, name).list(**filters, limit=min(most, _LARGEST_PAGE))
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
        print_row(brief(run))
