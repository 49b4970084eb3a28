"""A job as its caller has it: awaited for a report, or entered for its outcomes as they come."""

from collections.abc import AsyncIterable, Generator, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from retab_async.bulk.engine import Engine
from retab_async.bulk.handover import Handover
from retab_async.bulk.intake import Read
from retab_async.bulk.outcomes import CancelOutcome, CancelReport, Tally
from retab_async.bulk.source import Source
from retab_async.bulk.terms import Terms
from retab_async.bulk.tickets import Kind
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
        self, ids: Iterable[Any] | AsyncIterable[Any], kinds: Iterable[Kind[RunT]], read: Read, terms: Terms
    ) -> None:
        self._source: Source[Any] = Source(ids)
        self._kinds = {kind.name: kind for kind in kinds}
        self._read = read
        self._terms = terms
        self._tally = Tally()
        self._handover: Handover[RunT] | None = None
        self._engine: Engine[RunT] | None = None
        self._leaving = AsyncExitStack()

    @property
    def report(self) -> CancelReport:
        """What became of the ids so far, and at the end of all of them."""
        engine = self._engine
        return CancelReport(
            counts=self._tally.counts.copy(),
            failures=self._tally.failures(in_order=self._terms.in_order),
            elapsed=engine.elapsed if engine else 0.0,
            ended_early=engine.ended_early if engine else False,
        )

    def __await__(self) -> Generator[Any, None, CancelReport]:
        return self._to_its_end().__await__()

    async def __aenter__(self) -> Self:
        self._tally = Tally(_MOST_FAILURES_KEPT)
        self._handover = Handover(2 * self._terms.concurrency, in_order=self._terms.in_order)
        engine = self._begin(self._handover)
        self._leaving.push_async_callback(engine.aclose)
        self._leaving.callback(self._handover.clear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leaving.aclose()

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
        engine = self._begin(None)
        try:
            await engine.finish()
        finally:
            await engine.aclose()
        if engine.failure is not None:
            raise engine.failure
        return self.report

    def _begin(self, handover: Handover[RunT] | None) -> Engine[RunT]:
        if self._engine is not None:
            msg = "this job was begun before: it is for one `await`, or one `async with`"
            raise RuntimeError(msg)
        self._engine = Engine(
            source=self._source,
            kinds=self._kinds,
            read=self._read,
            terms=self._terms,
            tally=self._tally,
            handover=handover,
        )
        self._engine.start()
        return self._engine
