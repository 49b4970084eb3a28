"""`retab-async splits wait ID...`: runs as they end."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.output import print_json, print_row
from retab_async.cli.params import ids_argument, json_option, timeout_option
from retab_async.cli.progress import StatusReporter, status_reporter
from retab_async.client import AsyncRetab
from retab_async.converter import unstructure
from retab_async.errors import RetabError
from retab_async.models import Run, RunStatus


def wait_command(name: str, kind: str) -> click.Command:
    """Return the command that waits for runs of a kind."""
    told = (
        f"Print {kind} runs as they end.\n\n"
        "Ctrl-C ends the waiting and leaves the runs going on. Exit 1 if one is not completed, or cannot be waited for."
    )

    @click.command("wait", params=[ids_argument(), timeout_option(), json_option()], help=told)
    def wait(*, ids: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
        limits = {} if timeout is None else {"timeout": timeout}
        with cli_errors(), status_reporter("waiting") as shown:
            try:
                all_completed = asyncio.run(_wait(name, ids, limits, shown, as_json=as_json))
            except KeyboardInterrupt:
                _tell_left(shown, ids)
                raise
        return int(not all_completed)

    return wait


async def _wait(name: str, ids: Sequence[str], limits: dict[str, Any], shown: StatusReporter, *, as_json: bool) -> bool:
    all_completed = True
    async with AsyncRetab() as client:
        ends = attrgetter(name)(client).wait_many(ids, on_status=shown.tell, **limits)
        try:
            async for run in ends:
                all_completed &= run.status is RunStatus.COMPLETED
                with shown.aside():
                    _print(run, as_json=as_json)
        except* RetabError as failed:
            all_completed = False
            _tell_failed(shown, failed)
    return all_completed


def _print(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(unstructure(run))
        return
    # Not every failure has a code.
    reason = ": ".join(filter(None, (run.error.code, run.error.message))) if run.error else ""
    print_row((run.id, str(run.status), reason))


def _tell_failed(shown: StatusReporter, failed: BaseExceptionGroup[RetabError]) -> None:
    # Each names its run.
    with shown.aside():
        for error in failed.exceptions:
            click.echo(f"Error: {escape_control_chars(str(error))}", err=True)


def _tell_left(shown: StatusReporter, ids: Sequence[str]) -> None:
    left = " ".join(shown.not_over(dict.fromkeys(ids)))
    with shown.aside():
        click.echo(f"left going on: {escape_control_chars(left)}", err=True)
