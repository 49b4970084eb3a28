"""`retab-async splits get ID`: reads one run."""

import asyncio
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.console import cli_errors
from retab_async.cli.output import print_run
from retab_async.cli.params import json_option
from retab_async.client import AsyncRetab
from retab_async.models import Run
from retab_async.resources import RESOURCES


def get_command(kind: str, label: str) -> click.Command:
    """Return the command that reads a run of a kind."""
    output = click.Option(
        ["--output/--no-output", "include_output"],
        default=True,
        show_default=True,
        help="Read the output too; --no-output reads little more than the status.",
    )
    run_id = click.Argument(["run_id"], metavar="ID")
    options = [output] if RESOURCES[kind].spec.has_output else []

    @click.command("get", params=[run_id, *options, json_option()], help=f"Read one {label} run.")
    def get(*, run_id: str, as_json: bool, **options: Any) -> int:
        with cli_errors():
            run = asyncio.run(_get(kind, run_id, options))
        print_run(run, as_json=as_json)
        return 0

    return get


async def _get(kind: str, run_id: str, options: dict[str, Any]) -> Run:
    async with AsyncRetab() as client:
        run: Run = await attrgetter(kind)(client).get(run_id, **options)
        return run
