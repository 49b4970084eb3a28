"""Cancel job: the public handle of a bulk cancel."""

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from retab_async.bulk.follower import MAX_FOLLOWED
from retab_async.bulk.id_source import IdSource
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.reporter import OutcomeQueue, OutcomeReporter
from retab_async.bulk.results import CancelOutcome, CancelReport, EndReason, OutcomeCounts
from retab_async.bulk.runner import JobRunner
from retab_async.bulk.sender import CancelTarget
from retab_async.errors import JournalError
from retab_async.journal import Journal, JournalHeader
from retab_async.models import Run
from retab_async.throttle import FifoSemaphore

RunT = TypeVar("RunT", bound=Run)

# Of a stream, which may be endless.
_MAX_FAILURES_KEPT = 1000


class CancelJob(Generic[RunT]):
    """A bulk cancel, run once: `report = await job`, or `async with job as outcomes: async for outcome in outcomes`.

    Nothing is taken from the ids or sent before that. Awaited, it returns a `CancelReport`. Iterated over, it yields
    each `CancelOutcome` as it completes; a slow consumer slows the job down, and at most twice `concurrency` ids are
    under way (with `wait` 5,000 more). Leaving the block, or cancelling the `await`, ends the job at once: ids in
    flight then have no outcome, and no task is left.

    An exception of the iterable of the ids, a `JournalError` or a `ClientStateError` closes the source; ids in flight
    get their outcomes, then the `await` or the iteration raises it. `report` is available all the same.
    """

    def __init__(self, source: IdSource, targets: Iterable[CancelTarget[RunT]], options: CancelOptions) -> None:
        self._source = source
        self._targets = tuple(targets)
        self._options = options
        self._counts = OutcomeCounts()
        self._queue: OutcomeQueue[RunT] | None = None
        self._runner: JobRunner[RunT] | None = None
        self._journal: Journal | None = None
        self._is_started = False
        self._has_raised = False
        self._exit_stack = AsyncExitStack()

    @property
    def report(self) -> CancelReport:
        """The report so far; complete when the job has ended."""
        runner = self._runner
        return CancelReport(
            counts=+Counter(self._counts.counts),
            settled=Counter(self._counts.settled),
            failures=self._counts.failures(in_order=self._options.order == "input"),
            elapsed=runner.elapsed if runner else 0.0,
            end_reason=runner.end_reason if runner else None,
            error=self._source.refusal,
        )

    @property
    def unwritten(self) -> int:
        """Number of outcomes that are not in the journal; after a `JournalError`, those that were lost."""
        return len(self._journal.unwritten) if self._journal is not None else 0

    def stop(self) -> None:
        """Take no more ids; those taken already get their outcomes, and the job ends as usual.

        Call it in the event loop of the job, before or after the start, any number of times.
        """
        self._source.close(EndReason.STOPPED)

    def __await__(self) -> Generator[Any, None, CancelReport]:
        return self._run().__await__()

    async def __aenter__(self) -> Self:
        options = self._options
        self._counts = OutcomeCounts(_MAX_FAILURES_KEPT)
        slots = FifoSemaphore(2 * options.concurrency + (MAX_FOLLOWED if options.wait else 0))
        self._queue = OutcomeQueue(slots, in_order=options.order == "input")
        runner = await self._start(slots)
        self._exit_stack.push_async_callback(runner.aclose)
        self._exit_stack.callback(self._queue.clear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._exit_stack.aclose()
        finally:
            await self._close_journal(raises=kind is None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CancelOutcome[RunT]:
        if self._runner is None or self._queue is None:
            msg = "iterate over a job inside its block: `async with ... as outcomes: async for outcome in outcomes:`"
            raise RuntimeError(msg)
        outcome = await self._queue.get()
        if outcome is not None:
            return outcome
        failure = None if self._has_raised else self._source.failure
        self._has_raised = True
        raise failure or StopAsyncIteration

    def __repr__(self) -> str:
        counts = self.report.counts
        figures = ", ".join(f"{count} {disposition}" for disposition, count in sorted(counts.items()))
        state = "not started" if not self._is_started else self.report.end_reason or "running"
        return f"<CancelJob {state}: {figures or 'no outcomes'}>"

    async def _run(self) -> CancelReport:
        slots = FifoSemaphore(self._options.concurrency + MAX_FOLLOWED) if self._options.wait else None
        runner = await self._start(slots)
        is_finished = False
        try:
            await runner.finish()
            is_finished = True
        finally:
            try:
                await runner.aclose()
            finally:
                await self._close_journal(raises=is_finished and self._source.failure is None)
        if self._source.failure is not None:
            raise self._source.failure
        return self.report

    async def _start(self, slots: FifoSemaphore | None) -> JobRunner[RunT]:
        if self._is_started:
            msg = "this job was started before: it is for one `await`, or one `async with`"
            raise RuntimeError(msg)
        self._is_started = True
        if self._options.journal is not None and not self._options.dry_run:
            self._journal = await Journal.open(self._options.journal, self._journal_header())
        hooks = self._targets[0].api.transport.hooks
        reporter: OutcomeReporter[RunT] = OutcomeReporter(
            counts=self._counts,
            slots=slots,
            queue=self._queue,
            journal=self._journal,
            on_failure=self._source.fail,
            on_outcome=partial(hooks.notify, "on_outcome") if hooks is not None and hooks.has("on_outcome") else None,
        )
        runner = JobRunner(self._source, self._targets, self._options, reporter, self._queue)
        try:
            runner.start()
            self._runner = runner
        finally:
            # What cannot be iterated over, such as a closed file, fails here, and no one else closes the journal.
            if self._runner is None:
                await self._close_journal(raises=False)
        return runner

    def _journal_header(self) -> JournalHeader:
        transport = self._targets[0].api.transport
        kinds = (self._targets[0].kind,) if len(self._targets) == 1 else ()
        return JournalHeader(kinds, transport.base_url, transport.credential_fingerprint)

    async def _close_journal(self, *, raises: bool) -> None:
        if self._journal is None:
            return
        try:
            await self._journal.aclose()
        except JournalError:
            # If another exception is raised already, the log has this one.
            if raises:
                raise
