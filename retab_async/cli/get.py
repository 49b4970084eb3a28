"""`retab-async splits get ID`: one run, with all that is known of it."""

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


def get_command(name: str, kind: str) -> click.Command:
    """Return the command that reads a run of a kind."""
    told = "--no-output: a cheap read, of the status."
    output = click.Option(["--output/--no-output", "include_output"], default=True, help=told)
    run_id = click.Argument(["run_id"], metavar="ID")
    choices = [output] if RESOURCES[name].spec.has_output else []

    @click.command("get", params=[run_id, *choices, json_option()], help=f"Read one {kind} run.")
    def get(*, run_id: str, as_json: bool, **choice: Any) -> int:
        with cli_errors():
            run = asyncio.run(_get(name, run_id, choice))
        print_run(run, as_json=as_json)
        return 0

    return get


async def _get(name: str, run_id: str, choice: dict[str, Any]) -> Run:
    async with AsyncRetab() as client:
        run: Run = await attrgetter(name)(client).get(run_id, **choice)
        return run
