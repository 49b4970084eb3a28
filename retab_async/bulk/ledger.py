"""A job's outcomes in its journal."""

from typing import Any

from retab_async.bulk.outcomes import CancelOutcome, Disposition
from retab_async.journal import Entry, Journal


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
        if outcome.resource:
            status = str(outcome.run.status) if outcome.run is not None else None
            reason = str(outcome.error) if outcome.error is not None else ""
            self._journal.write(
                Entry(
                    collection=outcome.resource,
                    run_id=outcome.run_id,
                    disposition=str(outcome.disposition),
                    status=status,
                    reason=reason,
                )
            )
