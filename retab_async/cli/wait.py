"""`retab-async splits wait ID...`: prints runs as they finish."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.credentials import open_client
from retab_async.cli.output import print_json, print_row
from retab_async.cli.params import (
    ids_argument,
    json_option,
    quiet_option,
    rate_limit_options,
    shared_limit,
    timeout_option,
)
from retab_async.cli.progress import StatusReporter, status_reporter
from retab_async.converter import unstructure
from retab_async.errors import RetabError
from retab_async.models import Run, RunStatus
from retab_async.throttle import RateLimit, SharedRateLimit


def wait_command(kind: str, label: str) -> click.Command:
    """Return the command that waits for runs of a kind."""
    help_text = (
        f"Wait for {label} runs and print each when it finishes.\n\n"
        "Ctrl-C stops waiting; the runs continue. Exits with 1 if a run did not complete or could not be awaited."
    )

    params = [ids_argument(), timeout_option(), *rate_limit_options(), quiet_option(), json_option()]

    @click.command("wait", params=params, help=help_text)
    def wait(
        *, ids: tuple[str, ...], timeout: float | None, rate_limit: RateLimit | None, shared: str | None, as_json: bool
    ) -> int:
        limit = shared_limit(rate_limit, shared) or rate_limit
        options = {} if timeout is None else {"timeout": timeout}
        with cli_errors(), status_reporter("waiting") as reporter:
            try:
                all_completed = asyncio.run(_wait(kind, ids, options, limit, reporter, as_json=as_json))
            except KeyboardInterrupt:
                _print_unfinished(reporter, ids)
                raise
        return int(not all_completed)

    return wait


async def _wait(  # noqa: PLR0913 - the options of the command
    kind: str,
    ids: Sequence[str],
    options: dict[str, Any],
    limit: RateLimit | SharedRateLimit | None,
    reporter: StatusReporter,
    *,
    as_json: bool,
) -> bool:
    all_completed = True
    async with open_client(rate_limit=limit) as client:
        finished = attrgetter(kind)(client).wait_many(ids, on_status=reporter.update, **options)
        try:
            async for run in finished:
                all_completed &= run.status is RunStatus.COMPLETED
                with reporter.paused():
                    _print_finished(run, as_json=as_json)
        except* RetabError as group:
            all_completed = False
            _print_errors(reporter, group)
    return all_completed


def _print_finished(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(unstructure(run))
        return
    # Not every error has a code.
    reason = ": ".join(filter(None, (run.error.code, run.error.message))) if run.error else ""
    print_row((run.id, str(run.status), reason))


def _print_errors(reporter: StatusReporter, group: BaseExceptionGroup[RetabError]) -> None:
    # Each message names its run.
    with reporter.paused():
        for error in group.exceptions:
            click.echo(f"Error: {escape_control_chars(str(error))}", err=True)


def _print_unfinished(reporter: StatusReporter, ids: Sequence[str]) -> None:
    unfinished = " ".join(reporter.unfinished(dict.fromkeys(ids)))
    with reporter.paused():
        click.echo(f"still running: {escape_control_chars(unfinished)}", err=True)
