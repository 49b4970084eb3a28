"""The commands that put an end to runs: `retab-async splits cancel ID...`, `retab-async splits delete ID...`."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter

import click

from retab_async.cli.asking import agrees, check_somebody_can_be_asked
from retab_async.cli.bulk import cancel_command
from retab_async.cli.harmless import harmless
from retab_async.cli.options import ids_argument, json_option
from retab_async.cli.outcomes import Outcome, delete_each
from retab_async.cli.printing import print_outcomes
from retab_async.cli.progress import progress
from retab_async.client import AsyncRetab

__all__ = ["cancel_command", "delete_command"]

_MOST_NAMED = 5


def delete_command(name: str, kind: str) -> click.Command:
    """Return the command that deletes runs of a kind."""
    told = f"Delete {kind} runs, after asking.\n\nExit 1 if one could not be deleted."
    yes = click.Option(["--yes"], is_flag=True, help="Do not ask.")

    @click.command("delete", params=[ids_argument(), yes, json_option()], help=told)
    def delete(*, ids: tuple[str, ...], yes: bool, as_json: bool) -> int:
        ids = tuple(dict.fromkeys(ids))
        if not yes and not _confirmed(ids, kind):
            click.echo("nothing was deleted", err=True)
            return 1
        outcomes = asyncio.run(_delete(name, ids))
        print_outcomes(outcomes, as_json=as_json)
        return int(any(outcome.is_failure for outcome in outcomes))

    return delete


def _confirmed(ids: Sequence[str], kind: str) -> bool:
    check_somebody_can_be_asked("delete")
    named = harmless(", ".join(ids)) if len(ids) <= _MOST_NAMED else f"{len(ids)} {kind} runs"
    return agrees(f"Delete {named}?")


async def _delete(name: str, ids: Sequence[str]) -> list[Outcome]:
    async with AsyncRetab() as client:
        with progress("deleting", len(ids)) as tally:
            return await delete_each(name, ids, attrgetter(name)(client).delete, tally.tell)
