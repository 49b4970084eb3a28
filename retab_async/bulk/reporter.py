"""Reporting of outcomes: to the journal, the counts and the consumer of a stream."""

from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.id_source import CancelItem
from retab_async.bulk.outcome_queue import OutcomeQueue
from retab_async.bulk.results import CancelOutcome, Disposition, OutcomeCounts
from retab_async.errors import SettledError
from retab_async.journal import Entry, Journal
from retab_async.models import Run
from retab_async.throttle import FifoSemaphore

RunT = TypeVar("RunT", bound=Run)

# An id with any other outcome is worth another cancel when the job is resumed.
_SETTLED: frozenset[str] = frozenset(
    {Disposition.CANCELLED, Disposition.FINISHED, Disposition.NOT_FOUND, Disposition.REJECTED}
)


class OutcomeReporter(Generic[RunT]):
    """Records the outcome of each item once: in the journal, in the counts and in the queue.

    Args:
        counts: Counts all outcomes and keeps the failures.
        slots: Bounds the items between the source and the end of their outcomes; None for no bound.
        queue: Hands outcomes to the consumer of a stream, which then releases the slots; None if the job is awaited.
        journal: Records outcomes; None for none.
        on_failure: Called when the journal cannot record an outcome.
        on_outcome: Called with each outcome, for hooks; None for none.

    Attributes:
        slots: Bounds the items; workers take a free one themselves before they `reserve`.
        journal: Has the items that an earlier run of the job has settled.
    """

    def __init__(  # noqa: PLR0913 - the sinks of an outcome, most of them optional
        self,
        *,
        counts: OutcomeCounts,
        slots: FifoSemaphore | None,
        queue: OutcomeQueue[CancelOutcome[RunT]] | None,
        journal: Journal | None,
        on_failure: Callable[[Exception], None],
        on_outcome: Callable[[CancelOutcome[RunT]], None] | None = None,
    ) -> None:
        self._counts = counts
        self.slots: FifoSemaphore | None = slots
        self._queue = queue
        self.journal: Journal | None = journal
        self._on_failure = on_failure
        self._on_outcome = on_outcome
        self._needs_outcomes = queue is not None or journal is not None or on_outcome is not None

    async def reserve(self) -> None:
        """Wait for a slot for one item."""
        if self.slots is not None and not self.slots.try_acquire():
            await self.slots.acquire(None)

    def cancel_reservation(self) -> None:
        """Release a slot for which there is no item."""
        if self.slots is not None:
            self.slots.release()

    def report_settled(self, item: CancelItem, journal: Journal) -> bool:
        """Report an item that an earlier run of the job has settled; False for any other."""
        settled = journal.settled(item.kind, item.run_id)
        # A later version of this library may have other dispositions.
        if settled is None or settled.disposition not in _SETTLED:
            return False
        self._report_settled(item, Disposition(settled.disposition), settled.reason)
        return True

    def report(
        self, item: CancelItem, disposition: Disposition, run: RunT | None = None, error: Exception | None = None
    ) -> None:
        """Record the outcome of an item."""
        if (usage := getattr(run, "usage", None)) is not None:
            self._counts.add_usage(usage)
        if self._needs_outcomes or error is not None:
            outcome = CancelOutcome(
                run_id=item.run_id,
                kind=item.kind,
                disposition=disposition,
                run=run,
                error=None if error is None else without_tracebacks(error),
                attempts=item.attempts,
            )
            self._record(item.number, outcome)
        else:
            self._counts.counts[disposition] += 1
        if self._queue is None and self.slots is not None:
            self.slots.release()

    def _report_settled(self, item: CancelItem, disposition: Disposition, reason: str) -> None:
        self._counts.settled[disposition] += 1
        if not disposition.is_failure:
            self._counts.counts[disposition] += 1
            self.cancel_reservation()
            if self._queue is not None:
                self._queue.skip(item.number)
            return
        outcome: CancelOutcome[RunT] = CancelOutcome(
            run_id=item.run_id, kind=item.kind, disposition=disposition, error=SettledError(reason)
        )
        self._counts.add(item.number, outcome)
        if self._queue is not None:
            self._queue.put(item.number, outcome)
        else:
            self.cancel_reservation()

    def _record(self, number: int, outcome: CancelOutcome[RunT]) -> None:
        # What belongs to no kind could not be recognised in another run of the job.
        if self.journal is not None and outcome.kind:
            self._write(self.journal, outcome)
        self._counts.add(number, outcome)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if self._queue is not None:
            self._queue.put(number, outcome)

    def _write(self, journal: Journal, outcome: CancelOutcome[RunT]) -> None:
        entry = Entry(
            kind=outcome.kind,
            run_id=outcome.run_id,
            disposition=str(outcome.disposition),
            final=outcome.disposition in _SETTLED,
            status=None if outcome.run is None else str(outcome.run.status),
            reason="" if outcome.error is None else str(outcome.error),
        )
        try:
            journal.write(entry)
        except Exception as error:  # noqa: BLE001 - the job raises it
            self._on_failure(error)


def without_tracebacks(error: Exception) -> Exception:
    """Return an error without its frames, which would keep every response alive: errors are kept by the thousand."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
