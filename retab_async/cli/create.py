"""`retab-async splits create FILE`, for every kind of run."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from inspect import signature
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.create_params import PARAMETERS
from retab_async.cli.credentials import open_client
from retab_async.cli.document_param import open_documents, takes_documents
from retab_async.cli.output import print_run_summary
from retab_async.cli.params import json_option, parse_json_object, quiet_option, timeout_option
from retab_async.cli.progress import StatusReporter, status_reporter
from retab_async.cli.run_output import RunOutput, run_output_options
from retab_async.cli.signals import TERMINATION
from retab_async.client import AsyncRetab
from retab_async.errors import RunCancelledError, RunFailedError, TerminatedError
from retab_async.models import Run, RunStatus
from retab_async.resources import RESOURCES
from retab_async.signals import until_signal

if TYPE_CHECKING:
    from retab_async.cleanup import UnconfirmedCancel
    from retab_async.scope import RunHandle

_FILE_HELP = "FILE is a path, - for stdin, or an https:// URL. "
_EXIT_HELP = "Exits with 1 if the run finished but did not complete."


def create_command(kind: str, label: str) -> click.Command:
    """Return the command that creates a run of a kind."""
    # Runs of the other kinds are always in the background.
    has_background = "background" in signature(attrgetter("create")(RESOURCES[kind])).parameters
    params = [*PARAMETERS[kind], *_common_params(kind, has_background=has_background)]

    @click.command("create", params=params, help=_help(label, params, has_background=has_background))
    def create(*, wait: bool, timeout: float | None, idempotency_key: str | None, **values: Any) -> int:
        if timeout is not None and not wait:
            msg = "--timeout needs --wait"
            raise click.UsageError(msg)
        wanted = RunOutput.take(values)
        given = {name: value for name, value in values.items() if value is not None}
        given["idempotency_key"] = str(uuid4()) if idempotency_key is None else idempotency_key
        is_foreground = wait or not given.get("background", not has_background)
        if not (is_foreground or wanted.is_default):
            msg = f"--output and --result-only need a finished run: pass --wait{', not --background' * has_background}"
            raise click.UsageError(msg)
        with wanted.opened() as output:
            with cli_errors(), open_documents(given) as fields:
                run = _create_and_wait(kind, fields, timeout) if wait else _create(kind, fields)
            return _report(run, output, is_foreground=is_foreground)

    return create


def _common_params(kind: str, *, has_background: bool) -> list[click.Parameter]:
    background = click.Option(
        ["--background"], is_flag=True, help="Print the run as soon as it is created, its id first, and let it run."
    )
    return [
        *([background] if has_background else []),
        click.Option(
            ["--wait"],
            is_flag=True,
            help="Create the run in the background and wait for it; Ctrl-C, SIGTERM and --timeout cancel it.",
        ),
        timeout_option(),
        click.Option(
            ["--extra-body"],
            type=parse_json_object,
            metavar="PATH|JSON",
            help="Add these fields to the request: the path of a file, or {...}.",
        ),
        click.Option(
            ["--idempotency-key"],
            metavar="KEY",
            help="Create at most one run under KEY, however often the command is repeated.",
        ),
        *run_output_options(kind),
        quiet_option(),
        json_option(),
    ]


def _help(label: str, params: Sequence[click.Parameter], *, has_background: bool) -> str:
    when = "when it finishes" if has_background else "as soon as it is created, its id first"
    file = _FILE_HELP if takes_documents(params) else ""
    return f"Create one {label} run and print it {when}.\n\n{file}{_EXIT_HELP}"


def _create(kind: str, fields: dict[str, Any]) -> Run:
    async def create() -> Run:
        async with open_client() as client:
            run: Run = await attrgetter(kind)(client).create(**fields)
            return run

    with report_doubt(fields["idempotency_key"]), status_reporter("creating") as reporter:
        fields = _with_progress(kind, fields, reporter)
        return asyncio.run(create())


def _with_progress(kind: str, fields: dict[str, Any], reporter: StatusReporter) -> dict[str, Any]:
    takes_documents = "on_upload" in signature(attrgetter("create")(RESOURCES[kind])).parameters
    return fields | {"on_upload": reporter.on_upload} if takes_documents and reporter.on_upload else fields


@contextmanager
def report_doubt(key: str) -> Iterator[None]:
    """Print how to find the run of an interrupted create."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_doubt(key), err=True)
        raise


def _doubt(key: str) -> str:
    key = escape_control_chars(key)
    return f"a run may have been created: repeat the command with --idempotency-key {key} to see it"


def _create_and_wait(kind: str, fields: dict[str, Any], timeout: float | None) -> Run:
    options = {} if timeout is None else {"timeout": timeout}
    # `running` always creates in the background.
    fields = {name: value for name, value in fields.items() if name != "background"}
    with ExitReport(fields["idempotency_key"]) as report, status_reporter("creating") as reporter:
        fields = _with_progress(kind, fields, reporter)
        return asyncio.run(_follow(kind, fields, options, report, reporter))


async def _follow(
    kind: str, fields: dict[str, Any], options: dict[str, Any], report: "ExitReport", reporter: StatusReporter
) -> Run:
    async with (
        # The handler of all commands would turn these signals into Ctrl-C.
        until_signal(*TERMINATION, call_previous=False),
        report.open_client(reporter) as client,
        attrgetter(kind)(client).running(**fields) as handle,
    ):
        report.handle = handle
        reporter.update(handle.run)
        with suppress(RunFailedError, RunCancelledError):
            await handle.result(on_status=reporter.update, **options)
    run: Run = handle.run
    return run


class ExitReport:
    """Prints on stderr what happened to a run whose `create --wait` was left by an error or a signal.

    Attributes:
        handle: The run, or None before it exists.
    """

    def __init__(self, key: str) -> None:
        self.handle: RunHandle[Any] | None = None
        self._key = key
        self._unconfirmed: tuple[UnconfirmedCancel, ...] | None = None

    @asynccontextmanager
    async def open_client(self, reporter: StatusReporter) -> AsyncIterator[AsyncRetab]:
        """Open a client, and record which cancels it could not confirm when it is closed."""
        client = open_client()
        try:
            yield client
        finally:
            if self.handle is not None and self._is_active:
                reporter.describe(f"cancelling {self.handle.id}")
            self._unconfirmed = await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_in_doubt = isinstance(error, KeyboardInterrupt | TerminatedError) or getattr(error, "in_doubt", False)
        if error is not None and (self.handle is not None or is_in_doubt):
            for line in self._lines():
                click.echo(escape_control_chars(line), err=True)

    @property
    def _is_active(self) -> bool:
        # Not `needs_cancel`, which is false once the block has been left.
        run = self.handle.run if self.handle else None
        return run is not None and not run.status.is_terminal

    def _lines(self) -> Iterator[str]:
        if self._unconfirmed is None:
            yield f"{self.handle.id} may still be running" if self.handle else _doubt(self._key)
        elif self._unconfirmed:
            yield from map(str, self._unconfirmed)
        elif self.handle is None:
            yield "no run was left running"
        elif self._is_active:
            yield f"cancelled {self.handle.id} on the server"


def _report(run: Run, output: RunOutput, *, is_foreground: bool) -> int:
    try:
        if is_foreground:
            output.print(run)
        else:
            print_run_summary(run, as_json=output.as_json)
    except click.ClickException as error:
        if run.id in error.message:
            raise
        # The run exists, and cost something.
        msg = f"{error.message}; the run is {escape_control_chars(run.id)}"
        raise click.ClickException(msg) from None
    return int(is_foreground and run.status is not RunStatus.COMPLETED)


__all__ = ["PARAMETERS", "create_command"]
