"""`retab-async splits delete ID...`, after asking."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

import click

from retab_async.cli.console import confirm, escape_control_chars, require_terminal
from retab_async.cli.output import Outcome, print_outcomes
from retab_async.cli.params import ids_argument, json_option
from retab_async.cli.progress import progress
from retab_async.client import AsyncRetab
from retab_async.errors import APIError, InvalidRunIdError, NotFoundError, RetabError

_MOST_NAMED = 5
_CREW = 16


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
    require_terminal("delete")
    named = escape_control_chars(", ".join(ids)) if len(ids) <= _MOST_NAMED else f"{len(ids)} {kind} runs"
    return confirm(f"Delete {named}?")


async def _delete(name: str, ids: Sequence[str]) -> list[Outcome]:
    async with AsyncRetab() as client:
        with progress("deleting", len(ids)) as tally:
            return await _delete_each(name, ids, attrgetter(name)(client).delete, tally.tell)


async def _delete_each(
    kind: str, ids: Sequence[str], delete: Callable[[str], Awaitable[None]], tell: Callable[[Outcome], None]
) -> list[Outcome]:
    # A crew that pulls from one iterator; the outcomes are in the order of the ids.
    numbered = iter(enumerate(ids))
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for number, run_id in numbered:
            outcomes[number] = await _delete_one(kind, run_id, delete)
            tell(outcomes[number])

    async with asyncio.TaskGroup() as crew:
        for _ in range(_CREW):
            crew.create_task(work())
    return [outcomes[number] for number in sorted(outcomes)]


async def _delete_one(kind: str, run_id: str, delete: Callable[[str], Awaitable[None]]) -> Outcome:
    try:
        await delete(run_id)
    except RetabError as error:
        return Outcome(kind=kind, run_id=run_id, disposition=_disposition_of(error), reason=str(error))
    return Outcome(kind=kind, run_id=run_id, disposition="deleted")


def _disposition_of(error: RetabError) -> str:
    if isinstance(error, NotFoundError):
        return "not_found"
    refused = isinstance(error, InvalidRunIdError) or (isinstance(error, APIError) and 400 <= error.status_code < 500)
    return "rejected" if refused else "unconfirmed"
