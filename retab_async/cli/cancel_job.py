"""Bulk cancels: run a job, print its outcomes and its report, and return the exit code."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import attrs
import click

from retab_async.bulk import CancelJob, CancelOutcome, CancelReport, Disposition, EndReason
from retab_async.cli.console import cli_errors, escape_control_chars, resume_hint, stdout_console
from retab_async.cli.credentials import open_client
from retab_async.cli.failed_file import FailedFile, open_failed_file
from retab_async.cli.interrupt import GracefulInterrupt
from retab_async.cli.output import Outcome, print_json, print_outcomes, print_table
from retab_async.cli.progress import JobFigures, job_progress
from retab_async.cli.streams import OutputError
from retab_async.client import AsyncRetab
from retab_async.errors import JournalError, RetabError
from retab_async.models import DOLLARS_PER_CREDIT
from retab_async.throttle import SharedRateLimit, Stats

_MAX_FAILURES_SHOWN = 20
# Number of 429 responses under a given limit that are no coincidence.
_MANY_THROTTLED = 3

# Reads the kinds and ids of a file once more.
RereadRows: TypeAlias = Callable[[], Iterable[tuple[str, str]]]


@attrs.frozen(kw_only=True)
class OutputOptions:
    """How the outcomes of a job are printed.

    Attributes:
        as_json: Print a JSON object for each outcome as it arrives.
        failed: The path of the file of failed runs, or None.
        journal: The path of the journal, or None.
        is_resumable: Whether the same command would continue after an interruption.
        lists_outcomes: Print a row for each run at the end, for the few ids of a command line.
        with_kind: Whether the runs are of several kinds.
        reads_stdin: Whether the ids come from stdin.
        has_own_limit: Whether a rate limit was given that is not shared.
        reread_rows: Returns the kinds and ids of a file, with their rows, once more; None if it is not a regular one.
    """

    as_json: bool
    failed: str | None
    journal: str | None
    is_resumable: bool
    lists_outcomes: bool = False
    with_kind: bool = False
    reads_stdin: bool = False
    has_own_limit: bool = False
    reread_rows: RereadRows | None = None


class PlannedJob(NamedTuple):
    """A job that has not started.

    Attributes:
        job: The job.
        total: The number of its ids, or None if it is unknown.
    """

    job: CancelJob[Any]
    total: int | None = None


# Makes the job of a client, and keeps the source of its ids open.
JobPlan: TypeAlias = Callable[[AsyncRetab], AbstractAsyncContextManager[PlannedJob]]


def run_cancel_job(plan: JobPlan, options: OutputOptions, shared: SharedRateLimit | None = None) -> int:
    """Run a job under a shared limit, if any, print its outcomes and its report, and return the exit code."""
    with open_failed_file(options.failed) if options.failed else nullcontext() as failed, cli_errors():
        writer = OutcomeWriter(options, failed)
        result = asyncio.run(run_job(plan, writer, shared))
        if failed is not None and options.journal is not None:
            result = _add_earlier_failures(failed, options.journal, options.reread_rows, result)
    return print_report(result, writer)


def _add_earlier_failures(
    failed: FailedFile, journal: str, reread_rows: RereadRows | None, result: "JobResult"
) -> "JobResult":
    try:
        failed.add_from_journal(journal, reread_rows() if reread_rows else ())
    except click.ClickException as error:
        # The failures of this part of the job are in the file: it is kept.
        return attrs.evolve(result, failure=result.failure or error.message)
    return result


class OutcomeWriter:
    """Prints outcomes as they arrive, and keeps those that are listed at the end.

    Attributes:
        options: How outcomes are printed.
        outcomes: The outcomes to list at the end.
    """

    def __init__(self, options: OutputOptions, failed: FailedFile | None) -> None:
        self.options = options
        self.outcomes: list[Outcome] = []
        self._failed = failed

    @property
    def prints_on_terminal(self) -> bool:
        """Whether outcomes are printed on a terminal while the job runs."""
        return self.options.as_json and stdout_console().is_terminal

    def add(self, outcome: CancelOutcome[Any]) -> None:
        """Record a failure in the file of failed runs, and print or keep the outcome."""
        row = Outcome.from_cancel(outcome)
        if row.is_failure and self._failed is not None:
            self._failed.add(row)
        if self.options.as_json:
            print_json(row.as_json())
        elif self.options.lists_outcomes:
            self.outcomes.append(row)


@attrs.frozen(kw_only=True)
class JobResult:
    """The result of a job.

    Attributes:
        report: The report of the job.
        stats: The client's statistics at the end.
        interrupted_by: The number of the signal that stopped the job, or None.
        failure: The error that ended the job as a whole; may be empty.
        unwritten: The number of outcomes that are not in the journal.
    """

    report: CancelReport
    stats: Stats
    interrupted_by: int | None
    failure: str
    unwritten: int


class JournalOpenError(click.ClickException):
    """The journal of a job could not be opened, so the job did not start."""

    exit_code = 2


async def run_job(plan: JobPlan, writer: OutcomeWriter, shared: SharedRateLimit | None = None) -> JobResult:
    """Run a job to its end; raises only errors that prevent its start."""
    failures: list[str] = []
    async with open_client(rate_limit=shared) as client, plan(client) as planned:
        job = planned.job
        interrupt = GracefulInterrupt(job, lambda: client.stats().in_flight)
        with _collect_failure(failures):
            async with _start(job):
                figures = JobFigures("cancelling", planned.total, lambda: job.report, client.stats)
                with job_progress(figures, is_wanted=not writer.prints_on_terminal) as interrupt.print_line:
                    async with interrupt:
                        async for outcome in job:
                            with _stopping(job, failures):
                                writer.add(outcome)
        return JobResult(
            report=job.report,
            stats=client.stats(),
            interrupted_by=interrupt.received,
            failure="; ".join(failures),
            unwritten=job.unwritten,
        )


@asynccontextmanager
async def _start(job: CancelJob[Any]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(job)
        except JournalError as error:
            raise JournalOpenError(escape_control_chars(str(error))) from None
        yield


@contextmanager
def _stopping(job: CancelJob[Any], failures: list[str]) -> Iterator[None]:
    # An outcome that cannot be written ends the job in order: the requests in flight finish.
    try:
        yield
    except click.ClickException as error:
        if error.message not in failures:
            failures.append(error.message)
        job.stop()


@contextmanager
def _collect_failure(failures: list[str]) -> Iterator[None]:
    try:
        yield
    except JournalOpenError:
        raise
    except click.ClickException as error:
        failures.append(error.message)
    except RetabError as error:
        failures.append(str(error))


def print_report(result: JobResult, writer: OutcomeWriter) -> int:
    """Print the report of a job and return the exit code."""
    options = writer.options
    failure = result.failure
    try:
        _print_outcomes(result, writer)
    except OutputError as error:
        failure = failure or error.message
    for line in (*_problems(result, failure), *_sharing_hint(result, options), *_resume_hint(result, options)):
        click.echo(escape_control_chars(line), err=True)
    if result.interrupted_by is not None:
        return 128 + result.interrupted_by
    has_ended_early = result.report.end_reason in {EndReason.OUTAGE, EndReason.REFUSED}
    return int(bool(failure) or has_ended_early or _count_failures(result.report.counts) > 0)


def _print_outcomes(result: JobResult, writer: OutcomeWriter) -> None:
    options = writer.options
    if options.as_json:
        return
    if options.lists_outcomes:
        print_outcomes(writer.outcomes, as_json=False)
    else:
        print_table(("result", "count"), _figures(result))
        _print_failures(result, with_kind=options.with_kind)


def _count_failures(counts: Counter[Disposition]) -> int:
    return sum(count for disposition, count in counts.items() if disposition.is_failure)


def _figures(result: JobResult) -> Iterator[tuple[str, str]]:
    for disposition, count in sorted(result.report.counts.items()):
        yield disposition.replace("_", " "), str(count)
    if result.report.settled:
        yield "settled before", str(result.report.settled.total())
    if result.report.duplicates:
        yield "duplicates skipped", str(result.report.duplicates)
    if result.report.credits:
        yield "credits", f"{result.report.credits:g} (${result.report.credits * DOLLARS_PER_CREDIT:,.2f})"
    yield "seconds", f"{result.report.elapsed:.1f}"
    yield "requests", str(result.stats.sent)
    yield "429 responses", str(result.stats.throttled)


def _print_failures(result: JobResult, *, with_kind: bool) -> None:
    shown = [Outcome.from_cancel(outcome) for outcome in result.report.failures[:_MAX_FAILURES_SHOWN]]
    if shown:
        print_outcomes(shown, as_json=False, with_kind=with_kind)
    more = _count_failures(result.report.counts) - len(shown)
    if more:
        click.echo(f"and {more:,} more")


def _problems(result: JobResult, failure: str) -> Iterator[str]:
    if result.report.end_reason is EndReason.OUTAGE:
        yield "API unavailable for too long; the remaining runs were not processed"
    if result.report.end_reason is EndReason.REFUSED:
        yield f"Error: the API refused the caller, the remaining runs were not processed: {result.report.error}"
    if failure:
        yield f"Error: {failure}"
    if result.unwritten:
        yield f"not in the journal: {result.unwritten:,} outcomes"


def _sharing_hint(result: JobResult, options: OutputOptions) -> Iterator[str]:
    if options.has_own_limit and result.stats.throttled >= _MANY_THROTTLED:
        count = f"{result.stats.throttled:,} requests were over the API's limit"
        yield f"{count}: another process may use this key, see --shared"


def _resume_hint(result: JobResult, options: OutputOptions) -> Iterator[str]:
    if result.interrupted_by is None:
        return
    yield f"interrupted: {result.report.counts.total():,} done"
    yield from resume_hint("ids", reads_stdin=options.reads_stdin, has_journal=options.is_resumable)
