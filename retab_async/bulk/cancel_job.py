"""Cancel job: the public handle of a bulk cancel."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

import attrs

from retab_async.bulk.follower import MAX_FOLLOWED, RunFollower
from retab_async.bulk.id_source import IdSource
from retab_async.bulk.job import BulkJob, Work
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.outcome_queue import OutcomeQueue
from retab_async.bulk.reporter import OutcomeReporter
from retab_async.bulk.results import CancelOutcome, CancelReport, OutcomeCounts
from retab_async.bulk.runner import JobRunner
from retab_async.bulk.sender import CancelSender, CancelTarget
from retab_async.bulk.worker import Worker
from retab_async.journal import JournalHeader
from retab_async.models import Run
from retab_async.throttle import FifoSemaphore

RunT = TypeVar("RunT", bound=Run)

# Of a stream, which may be endless.
_MAX_FAILURES_KEPT = 1000


class CancelJob(BulkJob[CancelOutcome[RunT], CancelReport]):
    """A bulk cancel, run once: `report = await job`, or `async with job as outcomes: async for outcome in outcomes`.

    Nothing is taken from the ids or sent before that. Awaited, it returns a `CancelReport`. Iterated over, it yields
    each `CancelOutcome` as it completes; a slow consumer slows the job down, and at most twice `concurrency` ids are
    under way (with `wait` 5,000 more). Leaving the block, or cancelling the `await`, ends the job at once: ids in
    flight then have no outcome, and no task is left.

    An exception of the iterable of the ids, a `JournalError` or a `ClientStateError` closes the source; ids in flight
    get their outcomes, then the `await` or the iteration raises it. `report` is available all the same.
    """

    def __init__(self, source: IdSource, targets: Iterable[CancelTarget[RunT]], options: CancelOptions) -> None:
        self._targets = tuple(targets)
        transport = self._targets[0].api.transport
        kinds = (self._targets[0].kind,) if len(self._targets) == 1 else ()
        header = JournalHeader(kinds, transport.base_url, transport.credential_fingerprint)
        super().__init__(source, attrs.evolve(options, journal=None) if options.dry_run else options, header)
        self._ids = source
        self._options = options
        self._counts = OutcomeCounts()

    @property
    def report(self) -> CancelReport:
        """The report so far; complete when the job has ended."""
        runner = self._runner
        return CancelReport(
            counts=+Counter(self._counts.counts),
            settled=Counter(self._counts.settled),
            failures=self._counts.failures(in_order=self._options.order == "input"),
            duplicates=self._ids.duplicates,
            credits=self._counts.credits,
            elapsed=runner.elapsed if runner else 0.0,
            end_reason=runner.end_reason if runner else None,
            error=self._source.refusal,
        )

    def __repr__(self) -> str:
        counts = self.report.counts
        figures = ", ".join(f"{count} {disposition}" for disposition, count in sorted(counts.items()))
        state = "not started" if not self._is_started else self.report.end_reason or "running"
        return f"<CancelJob {state}: {figures or 'no outcomes'}>"

    def _open_queue(self) -> tuple[FifoSemaphore, OutcomeQueue[CancelOutcome[RunT]]]:
        options = self._options
        self._counts = OutcomeCounts(_MAX_FAILURES_KEPT)
        slots = FifoSemaphore(2 * options.concurrency + (MAX_FOLLOWED if options.wait else 0))
        return slots, OutcomeQueue(slots, in_order=options.order == "input")

    def _slots_without_queue(self) -> FifoSemaphore | None:
        return FifoSemaphore(self._options.concurrency + MAX_FOLLOWED) if self._options.wait else None

    def _make_worker(self, runner: JobRunner, slots: FifoSemaphore | None) -> Work:
        options, by_kind = self._options, {target.kind: target for target in self._targets}
        hooks = self._targets[0].api.transport.hooks
        reporter: OutcomeReporter[RunT] = OutcomeReporter(
            counts=self._counts,
            slots=slots,
            queue=self._queue,
            journal=self._journal,
            on_failure=self._source.fail,
            on_outcome=None if hooks is None else hooks.listener("on_outcome"),
        )
        worker: Worker[RunT] = Worker(
            source=self._source,
            sender=CancelSender(by_kind, options, runner.breaker),
            breaker=runner.breaker,
            reporter=reporter,
            pool=runner.workers,
            max_workers=options.concurrency,
            follower=RunFollower(by_kind, reporter, runner.waits, options.wait_timeout) if options.wait else None,
            is_dry_run=options.dry_run,
        )
        return worker.run
