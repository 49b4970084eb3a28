"""The course of a job, from its first id to its end, or to where it is interrupted."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple, TypeAlias

import attrs
import click

from retab_async.bulk import CancelJob, CancelReport, Disposition
from retab_async.cli.bulk.board import Board, showing
from retab_async.cli.bulk.interruption import Interruption
from retab_async.cli.bulk.telling import Telling
from retab_async.cli.harmless import harmless
from retab_async.client import AsyncRetab
from retab_async.errors import JournalError, RetabError
from retab_async.pacing import Stats


class Planned(NamedTuple):
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
Plan: TypeAlias = Callable[[AsyncRetab], AbstractAsyncContextManager[Planned]]


@attrs.frozen(kw_only=True)
class Course:
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


async def run_through(plan: Plan, telling: Telling) -> Course:
    """Carry a job through; what is wrong with what it was told is raised before it is begun."""
    failures: list[str] = []
    earlier: Counter[Disposition] = Counter()
    async with AsyncRetab() as client, plan(client) as planned:
        job = planned.job
        interruption = Interruption(job, lambda: client.stats().in_flight)
        with _noted(failures):
            async with _begun(job):
                earlier = job.report.counts
                board = Board("cancelling", planned.whole(earlier), lambda: job.report, client.stats)
                with showing(board, is_wanted=not telling.is_printing) as interruption.say:
                    async with interruption:
                        async for outcome in job:
                            telling.tell(outcome)
        return Course(
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
            raise NoJournalError(harmless(str(error))) from None
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
