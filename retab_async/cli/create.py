"""`retab-async splits create FILE`, for every kind of run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from inspect import signature
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.create_params import PARAMETERS
from retab_async.cli.document_param import documents_open, takes_documents
from retab_async.cli.output import print_row, print_run, summary
from retab_async.cli.params import json_option, timeout_option
from retab_async.cli.progress import StatusReporter, status_reporter
from retab_async.client import AsyncRetab
from retab_async.errors import RunCancelledError, RunFailedError
from retab_async.models import Run, RunStatus
from retab_async.resources import RESOURCES

if TYPE_CHECKING:
    from retab_async.cleanup import UnconfirmedCancel
    from retab_async.scope import RunHandle


@contextmanager
def report_doubt(key: str) -> Iterator[None]:
    """Say how to find a run whose create was interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_doubt(key), err=True)
        raise


def _doubt(key: str) -> str:
    return f"a run may have been created: the same command with --idempotency-key {escape_control_chars(key)} shows it"


class ExitReport:
    """Says on stderr what became of a run that is cancelled when it is left: `handle` is it, None before it exists."""

    def __init__(self, key: str) -> None:
        self.handle: RunHandle[Any] | None = None
        self._key = key
        self._unconfirmed: tuple[UnconfirmedCancel, ...] | None = None

    @asynccontextmanager
    async def client(self, shown: StatusReporter) -> AsyncIterator[AsyncRetab]:
        """Give a client, and take note of what it could not confirm when it was closed."""
        client = AsyncRetab()
        try:
            yield client
        finally:
            if self.handle is not None and self._was_owed:
                shown.say(f"cancelling {self.handle.id}")
            self._unconfirmed = await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_in_doubt = isinstance(error, KeyboardInterrupt) or getattr(error, "in_doubt", False)
        if error is not None and (self.handle is not None or is_in_doubt):
            for line in self._lines():
                click.echo(escape_control_chars(line), err=True)

    @property
    def _was_owed(self) -> bool:
        # The handle itself owes nothing any more once its block has been left.
        run = self.handle.run if self.handle else None
        return run is not None and not run.status.is_terminal

    def _lines(self) -> Iterator[str]:
        if self._unconfirmed is None:
            yield f"{self.handle.id} may still be going on" if self.handle else _doubt(self._key)
        elif self._unconfirmed:
            yield from map(str, self._unconfirmed)
        elif self.handle is None:
            yield "no run was left going on"
        elif self._was_owed:
            yield f"cancelled {self.handle.id} on the server"


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
        with cli_errors(), documents_open(told) as opened:
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

    with report_doubt(told["idempotency_key"]), status_reporter("creating"):
        return asyncio.run(create())


def _follow(name: str, told: dict[str, Any], timeout: float | None) -> Run:
    limits = {} if timeout is None else {"timeout": timeout}
    # What is followed is in the background.
    told = {field: value for field, value in told.items() if field != "background"}
    with ExitReport(told["idempotency_key"]) as leaving, status_reporter("creating") as shown:
        return asyncio.run(_create_and_follow(name, told, limits, leaving, shown))


async def _create_and_follow(
    name: str, told: dict[str, Any], limits: dict[str, Any], leaving: ExitReport, shown: StatusReporter
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
        print_row(summary(run))
    return int(is_over and run.status is not RunStatus.COMPLETED)


__all__ = ["PARAMETERS", "create_command"]
