"""`retab-async extractions process FILE...`: many documents through one kind of run."""

import asyncio
import glob
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import click

from retab_async.bulk import EndReason
from retab_async.cleanup import UnconfirmedCancel
from retab_async.cli.cancel_job import JournalOpenError
from retab_async.cli.console import cli_errors, escape_control_chars, resume_hint, stdout_console
from retab_async.cli.create_params import PARAMETERS
from retab_async.cli.credentials import open_client
from retab_async.cli.inputs import is_regular, open_input, read_lines, scan_lines
from retab_async.cli.output import print_json, print_table
from retab_async.cli.params import (
    OUTPUT_FILE,
    check_distinct,
    concurrency_option,
    outage_timeout_option,
    quiet_option,
    wait_timeout_option,
)
from retab_async.cli.progress import JobFigures, job_progress
from retab_async.cli.record_file import RecordFile, open_record_file
from retab_async.cli.signals import TERMINATION
from retab_async.cli.streams import OutputError
from retab_async.client import AsyncRetab
from retab_async.errors import JournalError, RetabError, SettledError, TerminatedError
from retab_async.process import ProcessJob, ProcessReport, ProcessResult
from retab_async.signals import until_signal
from retab_async.throttle import Stats

_MAX_FAILURES_SHOWN = 20
# Of `create`: what a job has one of for each document.
_OF_ONE_DOCUMENT = frozenset({"document", "filename", "template_id"})

_HELP = """Create {} {} run of each document, wait for it, and write a record of each result.

FILE is a path, a pattern such as 'scans/**/*.pdf', or an https:// URL. Without --out, records are printed as JSON
lines. With --journal, the same command again creates no run twice, and writes the results that --out does not have
yet; use one journal for each batch. Exits with 1 if a document failed. Ctrl-C cancels the runs in flight and prints
how to resume."""


@attrs.define(kw_only=True)
class _Outcome:
    """What is known of a job at its end, whatever ended it."""

    report: ProcessReport
    stats: Stats
    unwritten: int = 0
    failures: list[str] = attrs.field(factory=list)
    interrupted_by: int | None = None
    unconfirmed: tuple[UnconfirmedCancel, ...] = ()


def process_command(kind: str, label: str) -> click.Command:
    """Return the command that processes documents by runs of a kind."""
    params = [
        click.Argument(["files"], nargs=-1, metavar="[FILE...]"),
        *_job_options(),
        quiet_option(),
        *(each for each in PARAMETERS[kind] if each.name not in _OF_ONE_DOCUMENT),
    ]
    article = "an" if label[0] in "aeiou" else "a"

    @click.command("process", params=params, help=_HELP.format(article, label))
    def process(*, files: tuple[str, ...], from_file: str | None, out: str | None, **values: Any) -> int:
        if bool(files) == (from_file is not None):
            msg = "give FILE..., or --from-file" if not files else "give FILE... or --from-file, not both"
            raise click.UsageError(msg)
        journal = values["journal"]
        check_distinct(from_file, journal, out)
        arguments = {name: value for name, value in values.items() if value is not None}
        records = open_record_file(out, may_continue=journal is not None) if out else nullcontext()
        with _documents(files, from_file) as documents, records as file, cli_errors():
            outcome = asyncio.run(_run(kind, documents, arguments, file))
        return _print_outcome(outcome, journal=journal, out=out, reads_stdin=from_file == "-")

    return process


def _job_options() -> list[click.Parameter]:
    return [
        click.Option(["--from-file"], metavar="LIST", help="Read the FILEs from LIST, one a line, or stdin for -."),
        click.Option(
            ["--out"],
            type=OUTPUT_FILE,
            metavar="FILE",
            help="Write the records to FILE, as CSV if it ends with .csv, else as JSON lines.",
        ),
        click.Option(
            ["--journal"],
            type=OUTPUT_FILE,
            metavar="FILE",
            help="Record each run in FILE; with the same FILE again, continue the job, and complete --out.",
        ),
        concurrency_option("Process up to N documents at the same time."),
        wait_timeout_option("Cancel a run that takes longer than this."),
        outage_timeout_option(),
    ]


@attrs.frozen
class _Documents:
    """The documents of a command: paths and URLs, or the descriptor of a list of them; and their number, if known."""

    given: list[str] | int
    total: int | None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Iterable[str] | AsyncIterator[str]]:
        if isinstance(self.given, list):
            yield self.given
            return
        async with aclosing(read_lines(self.given)) as lines, aclosing(_entries(lines)) as entries:
            yield entries


@contextmanager
def _documents(files: tuple[str, ...], from_file: str | None) -> Iterator[_Documents]:
    if from_file is None:
        given = [path for each in files for path in _expand(each)]
        yield _Documents(given, len(given))
        return
    with open_input(from_file) as descriptor:
        total = sum(map(_is_entry, scan_lines(descriptor))) if is_regular(descriptor) else None
        yield _Documents(descriptor, total)


def _expand(file: str) -> list[str]:
    if "://" in file or os.path.lexists(file) or not glob.has_magic(file):
        if os.path.isdir(file):  # noqa: PTH112 - of what may be no path
            msg = f"{file} is a directory: give {os.path.join(file, '*.pdf')!r}"  # noqa: PTH118 - as above
            raise click.UsageError(msg)
        return [file]
    found = sorted(path for path in glob.iglob(file, recursive=True) if os.path.isfile(path))  # noqa: PTH113, PTH207 - keeps the pattern's form
    if not found:
        msg = f"no file matches {file!r}"
        raise click.UsageError(msg)
    return found


def _is_entry(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


async def _entries(lines: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    async for line in lines:
        if _is_entry(line):
            yield line.strip()


async def _run(kind: str, documents: _Documents, arguments: dict[str, Any], file: RecordFile | None) -> _Outcome:
    client = open_client()
    try:
        async with documents.open() as items:
            # Results of an earlier part of the job, unless the file has them.
            includes = True if file is None else partial(_is_missing, file)
            job: ProcessJob[Any] = attrgetter(kind)(client).process_many(items, **arguments, include_settled=includes)
            failures, interrupted_by = await _consume(job, client, documents.total, file)
    finally:
        unconfirmed = await client.aclose()
    return _Outcome(
        report=job.report,
        stats=client.stats(),
        unwritten=job.unwritten,
        failures=failures,
        interrupted_by=interrupted_by,
        unconfirmed=unconfirmed,
    )


async def _consume(
    job: ProcessJob[Any], client: AsyncRetab, total: int | None, file: RecordFile | None
) -> tuple[list[str], int | None]:
    figures = JobFigures("processing", total, lambda: job.report, client.stats)
    is_wanted = file is not None or not stdout_console().is_terminal
    try:
        with job_progress(figures, is_wanted=is_wanted):
            async with until_signal(signal.SIGINT, *TERMINATION, call_previous=False), _start(job):
                async for result in job:
                    _write(result, file)
    except TerminatedError as error:
        click.echo("cancelling the runs in flight; press Ctrl-C again to stop at once", err=True)
        return [], error.signal
    except click.ClickException as error:
        if isinstance(error, JournalOpenError):
            raise
        return [error.message], None
    except RetabError as error:
        return [str(error)], None
    return [], None


@asynccontextmanager
async def _start(job: ProcessJob[Any]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(job)
        except JournalError as error:
            raise JournalOpenError(escape_control_chars(str(error))) from None
        yield


def _is_missing(file: RecordFile, run_id: str) -> bool:
    return not file.has_run(run_id)


def _write(result: ProcessResult[Any], file: RecordFile | None) -> None:
    record = result.to_record()
    if file is None:
        print_json(record)
    elif not (isinstance(result.error, SettledError) and file.has_failure(record)):
        file.write(record)


def _print_outcome(outcome: _Outcome, *, journal: str | None, out: str | None, reads_stdin: bool) -> int:
    report = outcome.report
    with suppress(OutputError):
        if out:
            print_table(("result", "count"), _figures(outcome))
    for line in (*_problems(outcome, out), *_resume_hint(outcome, journal, reads_stdin=reads_stdin)):
        click.echo(escape_control_chars(line), err=True)
    if outcome.interrupted_by is not None:
        return 128 + outcome.interrupted_by
    has_ended_early = report.end_reason in {EndReason.OUTAGE, EndReason.REFUSED}
    return int(bool(outcome.failures) or has_ended_early or _count_failures(report) > 0)


def _count_failures(report: ProcessReport) -> int:
    return sum(count for disposition, count in report.counts.items() if disposition.is_failure)


def _figures(outcome: _Outcome) -> Iterator[tuple[str, str]]:
    report = outcome.report
    for disposition, count in sorted(report.counts.items()):
        yield disposition.replace("_", " "), str(count)
    if report.settled:
        yield "settled before", str(report.settled.total())
    yield "credits", f"{report.credits:g}"
    yield "seconds", f"{report.elapsed:.1f}"
    yield "requests", str(outcome.stats.sent)
    yield "429 responses", str(outcome.stats.throttled)


def _problems(outcome: _Outcome, out: str | None) -> Iterator[str]:
    report = outcome.report
    for failed in report.failures[:_MAX_FAILURES_SHOWN] if out else ():
        yield f"{failed.name}: {failed.disposition.replace('_', ' ')}: {failed.error}"
    more = _count_failures(report) - _MAX_FAILURES_SHOWN
    if out and more > 0:
        yield f"and {more:,} more failures"
    if report.end_reason is EndReason.OUTAGE:
        yield "API unavailable for too long; the remaining documents were not processed"
    if report.end_reason is EndReason.REFUSED:
        yield f"Error: the API refused the caller, the remaining documents were not processed: {report.error}"
    for failure in outcome.failures:
        yield f"Error: {failure}"
    if outcome.unwritten:
        yield f"not in the journal: {outcome.unwritten:,} lines"
    yield from map(str, outcome.unconfirmed)


def _resume_hint(outcome: _Outcome, journal: str | None, *, reads_stdin: bool) -> Iterator[str]:
    if outcome.interrupted_by is None:
        return
    yield f"interrupted: {outcome.report.counts.total():,} done"
    yield from resume_hint("list", reads_stdin=reads_stdin, has_journal=journal is not None)
