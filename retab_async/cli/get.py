"""`retab-async splits get ID`: reads one run."""

import asyncio
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors
from retab_async.cli.credentials import open_client
from retab_async.cli.params import json_option
from retab_async.cli.run_output import RunOutput, run_output_options
from retab_async.models import Run
from retab_async.resources import RESOURCES


def get_command(kind: str, label: str) -> click.Command:
    """Return the command that reads a run of a kind."""
    no_output = click.Option(
        ["--no-output", "include_output"],
        is_flag=True,
        default=True,
        flag_value=False,
        help="Leave out the output, and read little more than the status.",
    )
    params = [
        click.Argument(["run_id"], metavar="ID"),
        *([no_output] if RESOURCES[kind].spec.has_output else []),
        *run_output_options(kind),
        json_option(),
    ]

    @click.command("get", params=params, help=f"Read one {label} run.")
    def get(*, run_id: str, include_output: bool = True, **options: Any) -> int:
        wanted = RunOutput.take(options)
        if wanted.result_only and not include_output:
            msg = "give --result-only or --no-output, not both"
            raise click.UsageError(msg)
        with wanted.opened() as output:
            with cli_errors():
                run = asyncio.run(_get(kind, run_id, include_output=include_output))
            output.print(run)
        return 0

    return get


async def _get(kind: str, run_id: str, *, include_output: bool) -> Run:
    async with open_client() as client:
        run: Run = await attrgetter(kind)(client).get(run_id, include_output=include_output)
        return run
