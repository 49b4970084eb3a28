"""Bulk job: what the public handles of all bulk jobs share, from the start to the closed journal."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from retab_async.bulk.circuit_breaker import CircuitBreaker
from retab_async.bulk.item_source import ItemSource
from retab_async.bulk.outcome_queue import OutcomeQueue
from retab_async.bulk.results import EndReason
from retab_async.bulk.runner import JobRunner
from retab_async.errors import JournalError
from retab_async.journal import Journal, JournalHeader
from retab_async.throttle import FifoSemaphore

OutcomeT = TypeVar("OutcomeT")
ReportT = TypeVar("ReportT")

# Starts a worker.
Work = Callable[[], Coroutine[Any, Any, None]]


class JobOptions(Protocol):
    """The options that all bulk jobs have."""

    @property
    def journal(self) -> str | None:
        """File that records each outcome."""

    @property
    def outage_timeout(self) -> float:
        """Seconds without a server after which the job gives up."""


class BulkJob(ABC, Generic[OutcomeT, ReportT]):
    """A bulk job, run once: awaited for its report, or entered and iterated over for each outcome.

    Args:
        source: The items.
        options: The options.
        header: The job as its journal names it.
        keep_runs: Whether the journal remembers the runs of settled documents.
    """

    def __init__(
        self, source: ItemSource[Any], options: JobOptions, header: JournalHeader, *, keep_runs: bool = False
    ) -> None:
        self._source = source
        self._job_options = options
        self._header = header
        self._keeps_runs = keep_runs
        self._queue: OutcomeQueue[OutcomeT] | None = None
        self._runner: JobRunner | None = None
        self._journal: Journal | None = None
        self._is_started = False
        self._has_raised = False
        self._exit_stack = AsyncExitStack()

    @property
    @abstractmethod
    def report(self) -> ReportT:
        """The report so far; complete when the job has ended."""

    @property
    def unwritten(self) -> int:
        """Number of outcomes that are not in the journal; after a `JournalError`, those that were lost."""
        return len(self._journal.unwritten) if self._journal is not None else 0

    def stop(self) -> None:
        """Take no more items; those taken already get their outcomes, and the job ends as usual.

        Call it in the event loop of the job, before or after the start, any number of times.
        """
        self._source.close(EndReason.STOPPED)

    def __await__(self) -> Generator[Any, None, ReportT]:
        return self._run().__await__()

    async def __aenter__(self) -> Self:
        slots, self._queue = self._open_queue()
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

    async def __anext__(self) -> OutcomeT:
        if self._runner is None or self._queue is None:
            msg = "iterate over a job inside its block: `async with ... as outcomes: async for outcome in outcomes:`"
            raise RuntimeError(msg)
        outcome = await self._queue.get()
        if outcome is not None:
            return outcome
        failure = None if self._has_raised else self._source.failure
        self._has_raised = True
        raise failure or StopAsyncIteration

    @abstractmethod
    def _open_queue(self) -> tuple[FifoSemaphore, OutcomeQueue[OutcomeT]]:
        """Return the queue of a job that is iterated over, and the slots that bound it."""

    @abstractmethod
    def _slots_without_queue(self) -> FifoSemaphore | None:
        """Return the slots of a job that is awaited; None for no bound."""

    @abstractmethod
    def _make_worker(self, runner: JobRunner, slots: FifoSemaphore | None) -> Work:
        """Return what starts a worker of the job."""

    async def _run(self) -> ReportT:
        runner = await self._start(self._slots_without_queue())
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

    async def _start(self, slots: FifoSemaphore | None) -> JobRunner:
        if self._is_started:
            msg = "this job was started before: it is for one `await`, or one `async with`"
            raise RuntimeError(msg)
        self._is_started = True
        if self._job_options.journal is not None:
            self._journal = await Journal.open(self._job_options.journal, self._header, keep_runs=self._keeps_runs)
        breaker = CircuitBreaker(self._job_options.outage_timeout)
        runner = JobRunner(self._source, breaker, self._queue, f"retab_async {self._header.job}_many")
        try:
            runner.start(self._make_worker(runner, slots))
            self._runner = runner
        finally:
            # What cannot be iterated over, such as a closed file, fails here, and no one else closes the journal.
            if self._runner is None:
                await self._close_journal(raises=False)
        return runner

    async def _close_journal(self, *, raises: bool) -> None:
        if self._journal is None:
            return
        try:
            await self._journal.aclose()
        except JournalError:
            # If another exception is raised already, the log has this one.
            if raises:
                raise
