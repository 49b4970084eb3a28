"""`retab-async splits create FILE`, for every kind of run."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import click

from retab_async.cli.creating.document import document_of
from retab_async.cli.creating.leaving import Leaving, doubt_told
from retab_async.cli.failures import failures_told
from retab_async.cli.options import json_option, timeout_option
from retab_async.cli.printing import brief, print_row, print_run
from retab_async.cli.progress import Following, following
from retab_async.client import AsyncRetab
from retab_async.errors import RunCancelledError, RunFailedError
from retab_async.models import Run, RunStatus

_HELP = """Create a {} run, and print it once it is over.

FILE is a path, - for stdin, or an https:// URL. Exit 1 if the run is over and not completed."""


def _parameters(options: Sequence[click.Option]) -> list[click.Parameter]:
    told = "Create it in the background and follow it; Ctrl-C, or the end of --timeout, cancels it on the server."
    return [
        click.Argument(["file"], metavar="FILE"),
        *options,
        click.Option(["--background"], is_flag=True, help="Print the run at once, its id first, while it goes on."),
        click.Option(["--wait"], is_flag=True, help=told),
        timeout_option(),
        click.Option(["--idempotency-key"], metavar="KEY", help="What is sent twice under one key is done once."),
        json_option(),
    ]


def create_command(name: str, kind: str, options: Sequence[click.Option]) -> click.Command:
    """Return the command that creates a run of a kind, whose own options are these."""

    @click.command("create", params=_parameters(options), help=_HELP.format(kind))
    def create(  # noqa: PLR0913 - the options of the command
        *,
        file: str,
        background: bool,
        wait: bool,
        timeout: float | None,
        idempotency_key: str | None,
        as_json: bool,
        **fields: Any,
    ) -> int:
        if timeout is not None and not wait:
            msg = "--timeout is for --wait"
            raise click.UsageError(msg)
        told = {field: value for field, value in fields.items() if value is not None}
        told["idempotency_key"] = str(uuid4()) if idempotency_key is None else idempotency_key
        with failures_told(), document_of(file) as document:
            told["document"] = document
            run = _follow(name, told, timeout) if wait else _create(name, told, background=background)
        return _report(run, is_over=wait or not background, as_json=as_json)

    return create


def _create(name: str, told: dict[str, Any], *, background: bool) -> Run:
    async def create() -> Run:
        async with AsyncRetab() as client:
            run: Run = await getattr(client, name).create(**told, background=background)
            return run

    with doubt_told(told["idempotency_key"]), following("creating"):
        return asyncio.run(create())


def _follow(name: str, told: dict[str, Any], timeout: float | None) -> Run:
    limits = {} if timeout is None else {"timeout": timeout}
    with Leaving(told["idempotency_key"]) as leaving, following("creating") as shown:
        return asyncio.run(_create_and_follow(name, told, limits, leaving, shown))


async def _create_and_follow(
    name: str, told: dict[str, Any], limits: dict[str, Any], leaving: Leaving, shown: Following
) -> Run:
    async with leaving.client(shown) as client, getattr(client, name).running(**told) as handle:
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
