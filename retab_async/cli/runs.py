"""The commands that every kind of run has: `retab-async splits cancel ID...`, `retab-async splits get ID`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from retab_async.cli.outcomes import Outcome, cancel_each
from retab_async.cli.printing import print_json, print_outcomes, print_rows, progress, shown
from retab_async.client import AsyncRetab
from retab_async.converter import unstructure
from retab_async.errors import ConfigurationError, InvalidRunIdError, RetabError
from retab_async.models import Run
from retab_async.runs import RunResource

_CREW = 16

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def kind_commands(name: str, resource: type[RunResource[Any]]) -> click.Group:
    """Return the group of commands of one kind, such as `splits`."""
    kind = resource.run_type.__name__.lower()
    group = click.Group(name, help=f"{name.capitalize()}: cancel {kind} runs, and read them.")

    @group.command("cancel", help=f"Cancel {kind} runs; exit 1 if one could not be cancelled.")
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
    @_json_option
    def cancel(ids: tuple[str, ...], *, as_json: bool) -> int:
        outcomes = asyncio.run(_cancel(name, tuple(dict.fromkeys(ids))))
        print_outcomes(outcomes, as_json=as_json)
        return int(any(outcome.is_failure for outcome in outcomes))

    @group.command("get", help=f"Read a {kind} run.")
    @click.argument("run_id", metavar="ID")
    @click.option(
        "--output/--no-output", "include_output", default=True, help="--no-output: a cheap read, of the status."
    )
    @_json_option
    def get(run_id: str, *, include_output: bool, as_json: bool) -> int:
        try:
            run = asyncio.run(_get(name, run_id, include_output=include_output))
        except ConfigurationError:
            raise
        except InvalidRunIdError as error:
            raise click.UsageError(str(error)) from None
        except RetabError as error:
            raise click.ClickException(str(error)) from None
        _print_run(run, as_json=as_json)
        return 0

    return group


async def _cancel(name: str, ids: Sequence[str]) -> list[Outcome]:
    async with AsyncRetab() as client:
        resource = getattr(client, name)
        with progress("cancelling", len(ids)) as tally:
            return await cancel_each(((each, resource.cancel) for each in ids), concurrency=_CREW, tell=tally.tell)


async def _get(name: str, run_id: str, *, include_output: bool) -> Run:
    async with AsyncRetab() as client:
        run: Run = await getattr(client, name).get(run_id, include_output=include_output)
        return run


def _print_run(run: Run, *, as_json: bool) -> None:
    fields = unstructure(run)
    if as_json:
        print_json(fields)
        return
    told = {key: value for key, value in fields.items() if value not in (None, (), "")}
    print_rows(("field", "value"), [(key, shown(value)) for key, value in told.items()])
