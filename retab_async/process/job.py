"""Process job: the public handle of the processing of many documents."""

import asyncio
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from retab_async.bulk import BulkJob, JobRunner, OutcomeQueue, Work
from retab_async.journal import JournalHeader
from retab_async.models import Run
from retab_async.process.guard import OutageGuard
from retab_async.process.options import ProcessOptions
from retab_async.process.reporter import ProcessReporter
from retab_async.process.results import ProcessReport, ProcessResult
from retab_async.process.source import DocumentSource
from retab_async.process.worker import ProcessTarget, ProcessWorker
from retab_async.scope import may_wait
from retab_async.throttle import FifoSemaphore

if TYPE_CHECKING:
    from retab_async.cleanup import PendingCancel

RunT = TypeVar("RunT", bound=Run)

# Seconds for which leaving a block waits for the cancels of its runs.
_EXIT_TIMEOUT = 60.0


class ProcessJob(BulkJob[ProcessResult[RunT], ProcessReport]):
    """The processing of many documents, run once: `report = await job`, or `async with job as results`.

    Nothing is taken from the documents or sent before that. Awaited, it returns a `ProcessReport`. Iterated over,
    `async for result in results` yields each `ProcessResult` as its run ends; a slow consumer slows the job down, and
    at most twice `concurrency` documents are under way.

    Leaving the block early, or cancelling the `await`, cancels all runs in flight on the server. A block that is left
    normally or by an `Exception` waits for that, a minute at most; else the client's `aclose()` does. What could not
    be confirmed is in `report.unconfirmed`, and returned by `aclose()`.

    With a journal a job that was killed can be started again with the same arguments: no run is created twice, runs in
    flight are continued, and settled documents are skipped and counted; with `include_settled` they are yielded, too. A
    result is settled once the next one is asked for, or the block is left normally; a result that was yielded right
    before the process was killed is yielded again.

    An exception of the iterable, a `JournalError` or a `ClientStateError` closes the source; documents in flight get
    their results, then the `await` or the iteration raises it. `report` is available all the same.
    """

    def __init__(self, source: DocumentSource[RunT], target: ProcessTarget[RunT], options: ProcessOptions) -> None:
        transport = target.api.transport
        header = JournalHeader((target.api.kind,), transport.base_url, transport.credential_fingerprint, job="process")
        super().__init__(source, options, header, keep_runs=bool(options.include_settled))
        self._target = target
        self._options = options
        self._reporter: ProcessReporter[RunT] | None = None
        self._last: ProcessResult[RunT] | None = None
        self._pending: set[PendingCancel] = set()

    @property
    def report(self) -> ProcessReport:
        """The report so far; complete when the job has ended."""
        runner, reporter = self._runner, self._reporter
        if runner is None or reporter is None:
            return ProcessReport(counts=Counter(), failures=(), elapsed=0.0)
        return ProcessReport(
            counts=Counter(reporter.counts),
            failures=tuple(reporter.failures),
            elapsed=runner.elapsed,
            settled=Counter(reporter.settled),
            started=reporter.started,
            active=reporter.started - reporter.ended,
            credits=reporter.credits,
            end_reason=runner.end_reason,
            error=self._source.refusal,
            unconfirmed=tuple(
                each.unconfirmed() for each in self._pending if each.done.is_set() and not each.is_confirmed
            ),
        )

    async def __anext__(self) -> ProcessResult[RunT]:
        self._acknowledge()
        self._last = await super().__anext__()
        return self._last

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._acknowledge()
        await super().__aexit__(kind, error, trace)
        if self._pending and may_wait(kind):
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_TIMEOUT):
                    for pending in self._pending:
                        await pending.done.wait()

    def __repr__(self) -> str:
        report = self.report
        figures = ", ".join(f"{count} {disposition}" for disposition, count in sorted(report.counts.items()))
        state = "not started" if not self._is_started else report.end_reason or "running"
        return f"<ProcessJob {self._target.api.path} {state}: {figures or 'no results'}>"

    def _acknowledge(self) -> None:
        last, self._last = self._last, None
        if last is not None and self._reporter is not None:
            self._reporter.acknowledge(last)

    def _open_queue(self) -> tuple[FifoSemaphore, OutcomeQueue[ProcessResult[RunT]]]:
        slots = FifoSemaphore(2 * self._options.concurrency)
        return slots, OutcomeQueue(slots, in_order=False)

    def _slots_without_queue(self) -> FifoSemaphore:
        return FifoSemaphore(self._options.concurrency)

    def _make_worker(self, runner: JobRunner, slots: FifoSemaphore | None) -> Work:
        target, options = self._target, self._options
        kind, hooks = target.api.kind, target.api.transport.hooks
        self._reporter = reporter = ProcessReporter(
            kind=kind,
            slots=slots or self._slots_without_queue(),
            queue=self._queue,
            journal=self._journal,
            on_failure=self._source.fail,
            on_result=None if hooks is None else hooks.listener("on_result", kind),
        )
        guard = OutageGuard(runner.breaker, lambda: len(runner.workers.tasks), self._source.refuse)
        worker: ProcessWorker[RunT] = ProcessWorker(
            source=self._source,
            target=target,
            api=target.api.with_transport(target.api.transport.guarded(guard.send)),
            guard=guard,
            breaker=runner.breaker,
            reporter=reporter,
            pool=runner.workers,
            max_workers=options.concurrency,
            wait_timeout=options.wait_timeout,
            # No one receives a result of a job that is awaited.
            includes=None if self._queue is None else options.includes,
            pending=self._pending,
        )
        return worker.run
