"""From what a send came to, to a ticket's outcome or another send."""

from typing import Generic, TypeVar

from retab_async.bulk.outcomes import Disposition, disposition_of_error, disposition_of_run
from retab_async.bulk.reporting import Reporting
from retab_async.bulk.sending import Sending
from retab_async.bulk.tickets import Ticket
from retab_async.errors import RetabError
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)


class Settling(Generic[RunT]):
    """Gives tickets their outcomes; one that `waits` follows runs to their ends."""

    def __init__(self, sending: Sending[RunT], reporting: Reporting[RunT], *, waits: bool) -> None:
        self._sending = sending
        self._reporting = reporting
        self._waits = waits
        # Where nobody is to see them, outcomes that are as they should be are not made.
        self._counts = reporting.counts_of_unseen

    def accept(self, ticket: Ticket[RunT], run: RunT) -> bool:
        """Settle a ticket whose cancel was accepted; False where its run is to be followed to its end instead."""
        if self._waits and not run.status.is_terminal:
            return False
        disposition = disposition_of_run(run)
        if self._counts is None:
            self._reporting.report(ticket, disposition, run)
        else:
            self._counts[disposition] += 1
        return True

    async def follow(self, ticket: Ticket[RunT], run: RunT) -> None:
        """Settle a ticket whose cancel was accepted when its run is over, or cannot be followed."""
        problem = None
        try:
            run = await self._sending.follow(ticket)
        except RetabError as error:
            problem = error
        self._reporting.report(ticket, disposition_of_run(run), run, problem)

    def fail(self, ticket: Ticket[RunT], error: RetabError) -> float | None:
        """Return after how many seconds to send again what failed, or settle it and return None."""
        pause = self._sending.pause_after(ticket, error)
        if pause is None:
            self._reporting.report(ticket, disposition_of_error(error), error=error)
        else:
            self._sending.announce(ticket, error, pause)
        return pause

    def lose(self, ticket: Ticket[RunT], error: Exception | None) -> None:
        """Settle a ticket of which nothing is known."""
        self._reporting.report(ticket, Disposition.UNCONFIRMED, error=error)

    def plan(self, ticket: Ticket[RunT]) -> None:
        """Settle a ticket that is not to be sent."""
        self._reporting.report(ticket, Disposition.PLANNED, ticket.run)
