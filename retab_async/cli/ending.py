"""The commands that put an end to runs: `retab-async splits cancel ID...`, `retab-async splits delete ID...`."""

import asyncio
import sys
from collections.abc import Sequence

import click

from retab_async.cli.harmless import harmless
from retab_async.cli.options import ids_argument, json_option
from retab_async.cli.outcomes import Outcome, carry_out
from retab_async.cli.printing import print_outcomes
from retab_async.cli.progress import progress
from retab_async.client import AsyncRetab

_CREW = 16
_MOST_NAMED = 5


def cancel_command(name: str, kind: str) -> click.Command:
    """Return the command that cancels runs of a kind."""
    told = f"Cancel {kind} runs.\n\nExit 1 if one could not be cancelled."

    @click.command("cancel", params=[ids_argument(), json_option()], help=told)
    def cancel(*, ids: tuple[str, ...], as_json: bool) -> int:
        return _report(asyncio.run(_carry_out(name, "cancel", "cancelling", _once_each(ids))), as_json=as_json)

    return cancel


def delete_command(name: str, kind: str) -> click.Command:
    """Return the command that deletes runs of a kind."""
    told = f"Delete {kind} runs, after asking.\n\nExit 1 if one could not be deleted."
    yes = click.Option(["--yes"], is_flag=True, help="Do not ask.")

    @click.command("delete", params=[ids_argument(), yes, json_option()], help=told)
    def delete(*, ids: tuple[str, ...], yes: bool, as_json: bool) -> int:
        ids = _once_each(ids)
        if not yes and not _confirmed(ids, kind):
            click.echo("nothing was deleted", err=True)
            return 1
        return _report(asyncio.run(_carry_out(name, "delete", "deleting", ids)), as_json=as_json)

    return delete


def _once_each(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


def _confirmed(ids: Sequence[str], kind: str) -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        msg = "stdin is no terminal to ask at: give --yes to delete without being asked"
        raise click.UsageError(msg)
    named = harmless(", ".join(ids)) if len(ids) <= _MOST_NAMED else f"{len(ids)} {kind} runs"
    try:
        return click.confirm(f"Delete {named}?", err=True)
    except click.Abort:
        # What comes next is not to stand behind the question.
        click.echo(err=True)
        raise


async def _carry_out(name: str, verb: str, label: str, ids: Sequence[str]) -> list[Outcome]:
    async with AsyncRetab() as client:
        do = getattr(getattr(client, name), verb)
        with progress(label, len(ids)) as tally:
            return await carry_out(((each, do) for each in ids), concurrency=_CREW, tell=tally.tell)


def _report(outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    print_outcomes(outcomes, as_json=as_json)
    return int(any(outcome.is_failure for outcome in outcomes))
