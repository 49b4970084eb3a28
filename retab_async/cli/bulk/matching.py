"""`retab-async splits cancel-matching`: all runs that match, after asking."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from inspect import signature
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.asking import agrees, check_somebody_can_be_asked
from retab_async.cli.bulk.course import Plan, Planned
from retab_async.cli.bulk.finding import Search
from retab_async.cli.bulk.jobs import carry_out
from retab_async.cli.bulk.options import check_distinct, terms_options, told_options
from retab_async.cli.bulk.telling import Manner
from retab_async.cli.options import date_options
from retab_async.client import AsyncRetab
from retab_async.resources import RESOURCES

_HELP = """Cancel all {} runs that match and are not over, after asking.

A DATE is a day in UTC, 2026-11-01, or a moment, 2026-11-01T09:30:00+01:00. Exit 1 if one could not be cancelled.
Ctrl-C finishes what is in flight, and says how to go on from there."""

# Each is offered by the kinds whose `cancel_matching` has an argument of its name.
_FILTERS = (
    click.Option(["--workflow-id"], metavar="ID", help="Those of this workflow."),
    click.Option(["--status"], help="Those in this status, such as in_progress; by default all that are not over."),
    click.Option(["--filename"], metavar="START", help="Those whose filename begins so, in either case."),
    *date_options(),
)


def matching_command(name: str, kind: str) -> click.Command:
    """Return the command that cancels the runs of a kind that match."""
    arguments = signature(attrgetter("cancel_matching")(RESOURCES[name])).parameters
    filters = [option for option in _FILTERS if option.name in arguments]

    @click.command("cancel-matching", params=_parameters(filters), help=_HELP.format(kind))
    def cancel_matching(*, dry_run: bool, yes: bool, failed: str | None, as_json: bool, **told: Any) -> int:
        check_distinct(None, told["journal"], failed)
        given = {option.name: told.pop(option.name) for option in filters}
        wanted = {key: value for key, value in given.items() if value is not None}
        search = Search(name, wanted, told["patience"])
        if dry_run:
            search.show(as_json=as_json)
            return 0
        total = None
        if not yes:
            check_somebody_can_be_asked("cancel")
            total = search.count()
            if not total or not agrees(f"Cancel {'them' if total > 1 else 'it'}?"):
                click.echo("nothing was cancelled", err=True)
                return int(total > 0)
        manner = Manner(as_json=as_json, failed=failed, goes_on=True)
        return carry_out(_planned(name, {**wanted, **told}, total), manner)

    return cancel_matching


def _parameters(filters: Sequence[click.Option]) -> list[click.Parameter]:
    return [
        *filters,
        click.Option(["--dry-run"], is_flag=True, help="Print what would be cancelled, and cancel nothing."),
        click.Option(["--yes"], is_flag=True, help="Do not ask."),
        *terms_options(),
        *told_options(),
    ]


def _planned(name: str, told: dict[str, Any], total: int | None) -> Plan:
    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[Planned]:
        # What is in the journal does not match any more, and was not counted.
        yield Planned(attrgetter(name)(client).cancel_matching(**told), total, is_rest=True)

    return plan
