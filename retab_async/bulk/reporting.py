"""From what became of an id to the outcome, and to all who are told of it."""

from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.handover import Handover
from retab_async.bulk.ledger import Ledger
from retab_async.bulk.outcomes import CancelOutcome, Disposition, Tally
from retab_async.bulk.tickets import Ticket
from retab_async.errors import CallError
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)


class Reporting(Generic[RunT]):
    """Makes outcomes; they are noted in the ledger, counted, and handed over, where there is somebody who iterates."""

    def __init__(
        self,
        tally: Tally,
        handover: Handover[RunT] | None,
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
        self, ticket: Ticket[RunT], disposition: Disposition, run: RunT | None = None, error: Exception | None = None
    ) -> None:
        """Give a ticket its outcome."""
        outcome = CancelOutcome(
            run_id=ticket.run_id,
            resource=ticket.resource,
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
    if isinstance(error, CallError):
        # Kept by the thousand, its frames would keep every answer alive.
        kept: BaseException | None = error
        while kept is not None:
            kept.__traceback__ = None
            kept = kept.__cause__ or kept.__context__
    return error
