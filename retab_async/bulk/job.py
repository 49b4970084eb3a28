"""A job as its caller has it: awaited for a report, or entered for its outcomes as they come."""

from collections import Counter
from collections.abc import AsyncIterable, Generator, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from retab_async.bulk.id_source import ItemSource, Read
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.reporter import Ledger, OutcomeQueue
from retab_async.bulk.results import CancelOutcome, CancelReport, OutcomeCounts
from retab_async.bulk.runner import JobRunner
from retab_async.bulk.sender import CancelTarget
from retab_async.errors import JournalError
from retab_async.journal import Journal, JournalHeader
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

# Of the outcomes of a stream, which may have no end.
_MOST_FAILURES_KEPT = 1000


class CancelJob(Generic[RunT]):
    """The cancelling of many runs, once: `report = await job`, or `async with job as outcomes: async for ...`.

    Nothing is taken or sent before that. Awaited it gives a `CancelReport`. Iterated over it gives each `CancelOutcome`
    as it comes; whoever takes them slowly slows the job down, and no more than twice `concurrency` ids are on their way
    at any time. Leaving the block, as much as cancelling the `await`, ends the job at once: ids that are being sent
    then have no outcome, and nothing goes on behind it.

    What the iterable of the ids raises, or what is wrong with the program and not with one id, stops the taking of ids.
    Those that are being sent come to their outcomes, then the `await` or the iteration raises it; `report` is there all
    the same.
    """

    def __init__(
        self,
        ids: Iterable[Any] | AsyncIterable[Any],
        kinds: Iterable[CancelTarget[RunT]],
        read: Read,
        terms: CancelOptions,
    ) -> None:
        self._source: ItemSource[Any] = ItemSource(ids)
        self._kinds = {kind.name: kind for kind in kinds}
        self._read = read
        self._terms = terms
        self._tally = OutcomeCounts()
        self._handover: OutcomeQueue[RunT] | None = None
        self._engine: JobRunner[RunT] | None = None
        self._journal: Journal | None = None
        self._is_begun = False
        self._leaving = AsyncExitStack()

    @property
    def report(self) -> CancelReport:
        """What became of the ids so far, and at the end of all of them."""
        engine = self._engine
        return CancelReport(
            counts=+Counter(self._tally.counts),
            failures=self._tally.failures(in_order=self._terms.in_order),
            elapsed=engine.elapsed if engine else 0.0,
            ended_early=engine.ended_early if engine else False,
        )

    @property
    def unwritten(self) -> int:
        """How many outcomes are not in the journal: after a `JournalError`, all that will not get there."""
        return len(self._journal.unwritten) if self._journal is not None else 0

    def stop(self) -> None:
        """Take no more ids; those that were taken come to their outcomes, and the job ends as one with fewer ids does.

        From the event loop of the job, once or more often, before it is begun too.
        """
        self._source.close()
        if self._engine is not None:
            self._engine.close_intake()

    def __await__(self) -> Generator[Any, None, CancelReport]:
        return self._to_its_end().__await__()

    async def __aenter__(self) -> Self:
        self._tally = OutcomeCounts(_MOST_FAILURES_KEPT)
        self._handover = OutcomeQueue(2 * self._terms.concurrency, in_order=self._terms.in_order)
        engine = await self._begin(self._handover)
        self._leaving.push_async_callback(engine.aclose)
        self._leaving.callback(self._handover.clear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._leaving.aclose()
        finally:
            await self._close_journal(is_told=kind is None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CancelOutcome[RunT]:
        if self._engine is None or self._handover is None:
            msg = "iterate over a job inside its block: `async with ... as outcomes: async for outcome in outcomes:`"
            raise RuntimeError(msg)
        outcome = await self._handover.take()
        if outcome is not None:
            return outcome
        failure, self._engine.failure = self._engine.failure, None
        raise failure or StopAsyncIteration

    async def _to_its_end(self) -> CancelReport:
        engine = await self._begin(None)
        is_finished = False
        try:
            await engine.finish()
            is_finished = True
        finally:
            try:
                await engine.aclose()
            finally:
                await self._close_journal(is_told=is_finished and engine.failure is None)
        if engine.failure is not None:
            raise engine.failure
        return self.report

    async def _begin(self, handover: OutcomeQueue[RunT] | None) -> JobRunner[RunT]:
        if self._is_begun:
            msg = "this job was begun before: it is for one `await`, or one `async with`"
            raise RuntimeError(msg)
        self._is_begun = True
        ledger = None
        if self._terms.journal is not None:
            self._journal = await Journal.open(self._terms.journal, self._journal_header())
            ledger = Ledger(self._journal)
            self._tally.counts.update(ledger.earlier)
        engine: JobRunner[RunT] = JobRunner(
            source=self._source,
            kinds=self._kinds,
            read=self._read,
            terms=self._terms,
            tally=self._tally,
            handover=handover,
            ledger=ledger,
        )
        try:
            engine.start()
            self._engine = engine
        finally:
            # What cannot even be iterated over, such as a file that is closed, leaves nobody who would let go of it.
            if self._engine is None:
                await self._close_journal(is_told=False)
        return engine

    def _journal_header(self) -> JournalHeader:
        targets = list(self._kinds.values())
        transport = targets[0].api.transport
        kinds = (targets[0].name,) if len(targets) == 1 else ()
        return JournalHeader(kinds, transport.base_url, transport.credential_fingerprint)

    async def _close_journal(self, *, is_told: bool) -> None:
        if self._journal is None:
            return
        try:
            await self._journal.aclose()
        except JournalError:
            # Where something else is raised already, the log has it.
            if is_told:
                raise
