"""`retab-async splits create FILE`, for every kind of run."""

import asyncio
from contextlib import suppress
from inspect import signature
from operator import attrgetter
from typing import Any
from uuid import uuid4

import click

from retab_async.cli.creating.document import documents_open, takes_documents
from retab_async.cli.creating.kinds import PARAMETERS
from retab_async.cli.creating.leaving import Leaving, doubt_told
from retab_async.cli.failures import failures_told
from retab_async.cli.options import json_option, timeout_option
from retab_async.cli.printing import brief, print_row, print_run
from retab_async.cli.progress import Following, following
from retab_async.client import AsyncRetab
from retab_async.errors import RunCancelledError, RunFailedError
from retab_async.models import Run, RunStatus
from retab_async.resources import RESOURCES

_FILE = "FILE is a path, - for stdin, or an https:// URL. "
_EXIT = "Exit 1 if the run is over and not completed."


def create_command(name: str, kind: str) -> click.Command:
    """Return the command that creates a run of a kind."""
    # Those that have no choice are always in the background.
    has_choice = "background" in signature(attrgetter("create")(RESOURCES[name])).parameters
    parameters = _parameters(name, has_choice=has_choice)

    @click.command("create", params=parameters, help=_help(kind, parameters, has_choice=has_choice))
    def create(*, wait: bool, timeout: float | None, idempotency_key: str | None, as_json: bool, **fields: Any) -> int:
        if timeout is not None and not wait:
            msg = "--timeout is for --wait"
            raise click.UsageError(msg)
        told = {field: value for field, value in fields.items() if value is not None}
        told["idempotency_key"] = str(uuid4()) if idempotency_key is None else idempotency_key
        is_over = wait or not told.get("background", True)
        with failures_told(), documents_open(told) as opened:
            run = _follow(name, opened, timeout) if wait else _create(name, opened)
        return _report(run, is_over=is_over, as_json=as_json)

    return create


def _parameters(name: str, *, has_choice: bool) -> list[click.Parameter]:
    background = click.Option(["--background"], is_flag=True, help="Print the run at once, its id first; it goes on.")
    told = "Follow the run until it is over; Ctrl-C, or the end of --timeout, cancels it on the server."
    return [
        *PARAMETERS[name],
        *([background] if has_choice else []),
        click.Option(["--wait"], is_flag=True, help=told),
        timeout_option(),
        click.Option(["--idempotency-key"], metavar="KEY", help="What is sent twice under one key is done once."),
        json_option(),
    ]


def _help(kind: str, parameters: list[click.Parameter], *, has_choice: bool) -> str:
    when = "print it once it is over" if has_choice else "print it at once, its id first; it goes on"
    file = _FILE if takes_documents(parameters) else ""
    return f"Create one {kind} run, and {when}.\n\n{file}{_EXIT}"


def _create(name: str, told: dict[str, Any]) -> Run:
    async def create() -> Run:
        async with AsyncRetab() as client:
            run: Run = await attrgetter(name)(client).create(**told)
            return run

    with doubt_told(told["idempotency_key"]), following("creating"):
        return asyncio.run(create())


def _follow(name: str, told: dict[str, Any], timeout: float | None) -> Run:
    limits = {} if timeout is None else {"timeout": timeout}
    # What is followed is in the background.
    told = {field: value for field, value in told.items() if field != "background"}
    with Leaving(told["idempotency_key"]) as leaving, following("creating") as shown:
        return asyncio.run(_create_and_follow(name, told, limits, leaving, shown))


async def _create_and_follow(
    name: str, told: dict[str, Any], limits: dict[str, Any], leaving: Leaving, shown: Following
) -> Run:
    async with leaving.client(shown) as client, attrgetter(name)(client).running(**told) as handle:
        leaving.handle = handle
        shown.tell(handle.run)
        with suppress(RunFailedError, RunCancelledError):
            await handle.result(on_status=shown.tell, **limits)
    run: Run = handle.run
    return run


def _report(run: Run, *, is_over: bool, as_json: bool) -> int:
    if is_over or as_json:
        print_run(run, as_json=as_json)
    else:
        print_row(brief(run))
    return int(is_over and run.status is not RunStatus.COMPLETED)
