"""`retab-async splits get ID`: one run, with all that is known of it."""

import asyncio

import click

from retab_async.cli.failures import failures_told
from retab_async.cli.options import json_option
from retab_async.cli.printing import print_run
from retab_async.client import AsyncRetab
from retab_async.models import Run


def get_command(name: str, kind: str) -> click.Command:
    """Return the command that reads a run of a kind."""
    told = "--no-output: a cheap read, of the status."
    output = click.Option(["--output/--no-output", "include_output"], default=True, help=told)
    run_id = click.Argument(["run_id"], metavar="ID")

    @click.command("get", params=[run_id, output, json_option()], help=f"Read a {kind} run.")
    def get(*, run_id: str, include_output: bool, as_json: bool) -> int:
        with failures_told():
            run = asyncio.run(_get(name, run_id, include_output=include_output))
        print_run(run, as_json=as_json)
        return 0

    return get


async def _get(name: str, run_id: str, *, include_output: bool) -> Run:
    async with AsyncRetab() as client:
        run: Run = await getattr(client, name).get(run_id, include_output=include_output)
        return run
