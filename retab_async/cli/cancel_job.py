"""The course of a job, from its first id to its end, or to where it is interrupted."""

import asyncio
import csv
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from io import StringIO
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import attrs
import click
from rich.console import Console

from retab_async.bulk import CancelJob, CancelOutcome, CancelReport, Disposition
from retab_async.cli.console import INTERRUPTED, cli_errors, escape_control_chars
from retab_async.cli.inputs import REASON
from retab_async.cli.output import Outcome, print_json, print_outcomes, print_rows
from retab_async.cli.progress import JobProgress, live_progress
from retab_async.cli.sigint import GracefulInterrupt
from retab_async.client import AsyncRetab
from retab_async.errors import JournalError, RetabError
from retab_async.throttle import Stats


@attrs.frozen(kw_only=True)
class OutputOptions:
    """How a job is told of.

    `is_listed`: with a row for each run at its end, for a few whose ids were typed. `has_kinds`: its runs are of
    several kinds. `goes_on`: the same command again goes on where it was interrupted. `is_piped`: its ids are those on
    stdin.
    """

    as_json: bool
    failed: str | None
    goes_on: bool
    is_listed: bool = False
    has_kinds: bool = False
    is_piped: bool = False


class OutcomeWriter:
    """Tells of each outcome in its `manner`; `kept` are those that are to be told of at the end."""

    def __init__(self, manner: OutputOptions, failed: IO[bytes] | None) -> None:
        self.manner = manner
        self.kept: list[Outcome] = []
        self._failed = failed

    @property
    def is_printing(self) -> bool:
        """Whether it prints on a terminal while the job goes on."""
        return self.manner.as_json and Console().is_terminal

    def tell(self, outcome: CancelOutcome[Any]) -> None:
        """Tell of one outcome."""
        told = outcome_of(outcome)
        if self.manner.as_json:
            print_json(told.as_json())
        elif self.manner.is_listed:
            self.kept.append(told)
        if told.is_failure and self._failed is not None:
            self._note(told, self._failed)

    def _note(self, failed: Outcome, file: IO[bytes]) -> None:
        line = StringIO()
        if self.manner.has_kinds and failed.kind:
            csv.writer(line, lineterminator="\n").writerow((failed.kind, failed.run_id))
        else:
            line.write(f"{failed.run_id}\n")
        try:
            file.write(line.getvalue().encode(errors="surrogateescape"))
        except OSError as error:
            msg = f"{self.manner.failed} cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None


@contextmanager
def open_outcome_writer(manner: OutputOptions) -> Iterator[OutcomeWriter]:
    """Give what tells of outcomes; the file of those that failed is there from the start."""
    if manner.failed is None:
        yield OutcomeWriter(manner, None)
        return
    try:
        file = Path(manner.failed).open("wb", buffering=0)  # noqa: SIM115 - what is written to it has its own errors
    except OSError as error:
        msg = f"{manner.failed} cannot be written: {error.strerror}"
        raise click.UsageError(msg) from None
    with file:
        yield OutcomeWriter(manner, file)


def outcome_of(outcome: CancelOutcome[Any]) -> Outcome:
    """Return an outcome of the library's in the words of the command."""
    # What was a row of a file, and named no run, belongs to nothing.
    reason = str(outcome.error or "") if outcome.kind else REASON
    return Outcome(
        kind=outcome.kind,
        run_id=outcome.run_id,
        disposition=str(outcome.disposition),
        run=outcome.run,
        reason=reason,
    )


class PlannedJob(NamedTuple):
    """A job that is not begun, and how many ids it has in all, where that is known.

    `is_rest`: those that are settled in its journal already are not among them.
    """

    job: CancelJob[Any]
    total: int | None = None
    is_rest: bool = False

    def whole(self, earlier: Counter[Disposition]) -> int | None:
        """Return the number that the job's report comes to in the end."""
        return self.total + earlier.total() if self.is_rest and self.total is not None else self.total


# Gives a job of a client for as long as its ids can be had.
Plan: TypeAlias = Callable[[AsyncRetab], AbstractAsyncContextManager[PlannedJob]]


@attrs.frozen(kw_only=True)
class JobResult:
    """What a job came to.

    `earlier`: what the journal had before. `failure`: what ended it that was no affair of one id, or nothing.
    `unwritten`: how many outcomes are not in the journal.
    """

    report: CancelReport
    stats: Stats
    earlier: Counter[Disposition]
    is_interrupted: bool
    failure: str
    unwritten: int


class NoJournalError(click.ClickException):
    """The journal of a job cannot be had, so that it was not begun."""

    exit_code = 2


async def run_job(plan: Plan, telling: OutcomeWriter) -> JobResult:
    """Carry a job through; what is wrong with what it was told is raised before it is begun."""
    failures: list[str] = []
    earlier: Counter[Disposition] = Counter()
    async with AsyncRetab() as client, plan(client) as planned:
        job = planned.job
        interruption = GracefulInterrupt(job, lambda: client.stats().in_flight)
        with _noted(failures):
            async with _begun(job):
                earlier = job.report.counts
                board = JobProgress("cancelling", planned.whole(earlier), lambda: job.report, client.stats)
                with live_progress(board, is_wanted=not telling.is_printing) as interruption.say:
                    async with interruption:
                        async for outcome in job:
                            telling.tell(outcome)
        return JobResult(
            report=job.report,
            stats=client.stats(),
            earlier=earlier,
            is_interrupted=interruption.is_made,
            failure="".join(failures),
            unwritten=job.unwritten,
        )


@asynccontextmanager
async def _begun(job: CancelJob[Any]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(job)
        except JournalError as error:
            raise NoJournalError(escape_control_chars(str(error))) from None
        yield


@contextmanager
def _noted(failures: list[str]) -> Iterator[None]:
    try:
        yield
    except NoJournalError:
        raise
    except click.ClickException as error:
        failures.append(error.message)
    except RetabError as error:
        failures.append(str(error))


_MOST_SHOWN = 20


def print_report(course: JobResult, telling: OutcomeWriter) -> int:
    """Say what a job came to, and return the exit code."""
    manner = telling.manner
    if manner.is_listed and not manner.as_json:
        print_outcomes(telling.kept, as_json=False)
    elif not manner.as_json:
        print_rows(("what", "how many"), _figures(course))
        _print_failures(course, has_kinds=manner.has_kinds)
    for line in (*_troubles(course), *_way_on(course, manner)):
        click.echo(escape_control_chars(line), err=True)
    if course.is_interrupted:
        return INTERRUPTED
    return int(bool(course.failure) or _failed(course.report.counts) > 0)


def _failed(counts: Counter[Disposition]) -> int:
    return sum(count for disposition, count in counts.items() if disposition.is_failure)


def _figures(course: JobResult) -> Iterator[tuple[str, str]]:
    for disposition, count in sorted(course.report.counts.items()):
        yield disposition.replace("_", " "), str(count)
    if course.earlier:
        yield "of these before", str(course.earlier.total())
    yield "seconds", f"{course.report.elapsed:.1f}"
    yield "requests", str(course.stats.sent)
    yield "answers 429", str(course.stats.throttled)


def _print_failures(course: JobResult, *, has_kinds: bool) -> None:
    failed = [outcome_of(outcome) for outcome in course.report.failures[:_MOST_SHOWN]]
    if failed:
        print_outcomes(failed, as_json=False, has_kinds=has_kinds)
    more = _failed(course.report.counts) - _failed(course.earlier) - len(failed)
    if more:
        click.echo(f"and {more:,} more")


def _troubles(course: JobResult) -> Iterator[str]:
    if course.report.end_reason == "outage":
        yield "the API was away for too long: there are more runs, which were left alone"
    if course.failure:
        yield f"Error: {course.failure}"
    if course.unwritten:
        yield f"not in the journal: {course.unwritten:,} of the outcomes"


def _way_on(course: JobResult, manner: OutputOptions) -> Iterator[str]:
    if not course.is_interrupted:
        return
    yield f"interrupted: {course.report.counts.total():,} done"
    if manner.goes_on:
        yield "to go on from here, with the same ids on stdin:" if manner.is_piped else "to go on from here:"
        yield f"    {shlex.join(['retab-async', *click.get_current_context().find_root().obj])}"
    else:
        yield "with --journal FILE the same command would go on from here"


def run_cancel_job(plan: Plan, manner: OutputOptions) -> int:
    """Carry a job through, tell of it, and return the exit code."""
    with open_outcome_writer(manner) as told, cli_errors():
        course = asyncio.run(run_job(plan, told))
    return print_report(course, told)
