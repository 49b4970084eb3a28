"""`retab-async splits delete ID...`: deletes runs after a confirmation."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

import click

from retab_async.bulk.results import disposition_of_error
from retab_async.cli.console import confirm, escape_control_chars, require_terminal
from retab_async.cli.credentials import open_client
from retab_async.cli.output import DELETED, Outcome, print_outcomes
from retab_async.cli.params import ids_argument, json_option, quiet_option, rate_limit_options, shared_limit
from retab_async.cli.progress import outcome_bar
from retab_async.errors import RetabError
from retab_async.throttle import RateLimit, SharedRateLimit

_MAX_IDS_IN_QUESTION = 5
_WORKERS = 16


def delete_command(kind: str, label: str) -> click.Command:
    """Return the command that deletes runs of a kind."""
    help_text = f"Delete {label} runs after a confirmation.\n\nExits with 1 if a run could not be deleted."
    yes = click.Option(["--yes"], is_flag=True, help="Skip the confirmation.")

    params = [ids_argument(), yes, *rate_limit_options(), quiet_option(), json_option()]

    @click.command("delete", params=params, help=help_text)
    def delete(
        *, ids: tuple[str, ...], yes: bool, rate_limit: RateLimit | None, shared: str | None, as_json: bool
    ) -> int:
        limit = shared_limit(rate_limit, shared) or rate_limit
        unique_ids = tuple(dict.fromkeys(ids))
        if not yes and not _is_confirmed(unique_ids, label):
            click.echo("nothing was deleted", err=True)
            return 1
        outcomes = asyncio.run(_delete_all(kind, unique_ids, limit))
        print_outcomes(outcomes, as_json=as_json)
        return int(any(outcome.is_failure for outcome in outcomes))

    return delete


def _is_confirmed(ids: Sequence[str], label: str) -> bool:
    require_terminal("delete")
    runs = escape_control_chars(", ".join(ids)) if len(ids) <= _MAX_IDS_IN_QUESTION else f"{len(ids)} {label} runs"
    return confirm(f"Delete {runs}?")


async def _delete_all(kind: str, ids: Sequence[str], limit: RateLimit | SharedRateLimit | None) -> list[Outcome]:
    # Worker pool over one iterator; the outcomes keep the order of the ids.
    pending = iter(ids)
    outcomes: dict[str, Outcome] = {}
    async with open_client(rate_limit=limit) as client:
        delete = attrgetter(kind)(client).delete
        with outcome_bar("deleting", len(ids)) as bar:

            async def work() -> None:
                for run_id in pending:
                    outcomes[run_id] = await _delete_one(kind, run_id, delete)
                    bar.add(outcomes[run_id])

            async with asyncio.TaskGroup() as workers:
                for _ in range(_WORKERS):
                    workers.create_task(work())
    return [outcomes[run_id] for run_id in ids]


async def _delete_one(kind: str, run_id: str, delete: Callable[[str], Awaitable[None]]) -> Outcome:
    try:
        await delete(run_id)
    except RetabError as error:
        return Outcome(kind=kind, run_id=run_id, disposition=str(disposition_of_error(error)), reason=str(error))
    return Outcome(kind=kind, run_id=run_id, disposition=DELETED)
