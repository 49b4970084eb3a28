"""From what became of an id to the outcome, and to all who are told of it."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from retab_async.bulk.results import CancelOutcome, Disposition, OutcomeCounts
from retab_async.bulk.sender import CancelItem
from retab_async.errors import RequestError
from retab_async.journal import Entry, Journal
from retab_async.models import Run


class Ledger:
    """Takes outcomes down in a journal, and knows what earlier runs of the job have settled.

    What it raises ends the job, as the producer's exceptions do.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def earlier(self) -> dict[Disposition, int]:
        """How many ids came to which final outcome in earlier runs of the job."""
        return {Disposition(word): count for word, count in self._journal.counts.items()}

    def is_settled(self, resource: str, run_id: str) -> bool:
        """Tell whether an id needs no further cancel."""
        return self._journal.is_done(resource, run_id)

    def note(self, outcome: CancelOutcome[Any]) -> None:
        """Take down an outcome, before it is told to anybody."""
        # What belongs to no collection cannot be recognised when it comes again.
        if outcome.kind:
            status = str(outcome.run.status) if outcome.run is not None else None
            reason = str(outcome.error) if outcome.error is not None else ""
            self._journal.write(
                Entry(
                    kind=outcome.kind,
                    run_id=outcome.run_id,
                    disposition=str(outcome.disposition),
                    status=status,
                    reason=reason,
                )
            )


RunT = TypeVar("RunT", bound=Run)


class OutcomeQueue(Generic[RunT]):
    """Outcomes on their way, as they come or in the order of their numbers; handing one over never waits.

    Instead no more than `room` ids are to be under way between the source and the consumer: `is_full` tells when, and
    `on_room` is called when there is room for one more.
    """

    def __init__(self, room: int, *, in_order: bool) -> None:
        self._room = room
        self._in_order = in_order
        self._consumed = 0
        self._next = 0
        self._early: dict[int, CancelOutcome[RunT]] = {}
        self._ready: deque[CancelOutcome[RunT]] = deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self.on_room: Callable[[], None] = lambda: None

    def is_full(self, taken: int) -> bool:
        """Tell whether, with so many ids taken, the consumer has to take some outcomes first."""
        return taken - self._consumed >= self._room

    def put(self, number: int, outcome: CancelOutcome[RunT]) -> None:
        """Hand an outcome over, of the id of that number, counted from 0."""
        if self._in_order:
            self._early[number] = outcome
            while self._next in self._early:
                self._ready.append(self._early.pop(self._next))
                self._next += 1
        else:
            self._ready.append(outcome)
        self._news.set()

    def close(self) -> None:
        """Say that there will be no more."""
        self._is_closed = True
        self._news.set()

    def clear(self) -> None:
        """Drop what nobody will take any more."""
        self._ready.clear()

    async def take(self) -> CancelOutcome[RunT] | None:
        """Return the next outcome, or None after the last one."""
        while not self._ready:
            if self._is_closed:
                return None
            self._news.clear()
            await self._news.wait()
        self._consumed += 1
        self.on_room()
        return self._ready.popleft()


class OutcomeReporter(Generic[RunT]):
    """Makes outcomes; they are noted in the ledger, counted, and handed over, where there is somebody who iterates."""

    def __init__(
        self,
        tally: OutcomeCounts,
        handover: OutcomeQueue[RunT] | None,
        ledger: Ledger | None,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._tally = tally
        self._handover = handover
        self._ledger = ledger
        self._on_failure = on_failure
        self.has_ledger = ledger is not None
        # What counts outcomes that nobody is to see, None where somebody is.
        self.counts_of_unseen = tally.counts if handover is None and ledger is None else None

    def report(
        self,
        ticket: CancelItem[RunT],
        disposition: Disposition,
        run: RunT | None = None,
        error: Exception | None = None,
    ) -> None:
        """Give a ticket its outcome."""
        outcome = CancelOutcome(
            run_id=ticket.run_id,
            kind=ticket.kind,
            disposition=disposition,
            run=run,
            error=error if error is None else _told(error),
            attempts=ticket.attempts,
        )
        if self._ledger is not None:
            self._note(self._ledger, outcome)
        self._tally.add(ticket.number, outcome)
        if self._handover is not None:
            self._handover.put(ticket.number, outcome)

    def settled_earlier(self, resource: str, run_id: str) -> bool:
        """Tell whether an id came to its final outcome in an earlier run of the job, and is counted already."""
        return self._ledger is not None and self._ledger.is_settled(resource, run_id)

    def _note(self, ledger: Ledger, outcome: CancelOutcome[RunT]) -> None:
        try:
            ledger.note(outcome)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._on_failure(error)


def _told(error: Exception) -> Exception:
    if isinstance(error, RequestError):
        # Kept by the thousand, its frames would keep every answer alive.
        kept: BaseException | None = error
        while kept is not None:
            kept.__traceback__ = None
            kept = kept.__cause__ or kept.__context__
    return error
