"""Results of a bulk cancel: the outcome of each id, and the report of the job."""

from collections import Counter
from enum import StrEnum
from typing import Generic, TypeVar

import attrs

from retab_async.errors import APIError, InvalidRequestError, InvalidRunIdError, NotFoundError
from retab_async.models import RetabUsage, Run, RunStatus
from retab_async.retry import is_transient

RunT_co = TypeVar("RunT_co", bound=Run, covariant=True)


class Disposition(StrEnum):
    """What happened to one id.

    Attributes:
        CANCELLED: The run is cancelled.
        FINISHED: The run had completed or failed before.
        ACCEPTED: The cancel was accepted; the run is not terminal yet.
        NOT_FOUND: The API knows no such run.
        REJECTED: The API rejected the cancel of this id.
        INVALID: Not an id of a run; nothing was sent.
        UNCONFIRMED: The cancel may or may not have taken effect, or was not sent; worth another call.
        PLANNED: A dry run would cancel it.
    """

    CANCELLED = "cancelled"
    FINISHED = "finished"
    ACCEPTED = "accepted"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    INVALID = "invalid"
    UNCONFIRMED = "unconfirmed"
    PLANNED = "planned"

    @property
    def is_failure(self) -> bool:
        """Whether the run may still be active: not_found, rejected, invalid or unconfirmed."""
        return self in FAILURES


FAILURES = frozenset({Disposition.NOT_FOUND, Disposition.REJECTED, Disposition.INVALID, Disposition.UNCONFIRMED})

# Refusals of the caller, the route or the request as a whole, not of one id. Transient statuses are in `retry.py`.
_NOT_ABOUT_THE_ID = frozenset({401, 402, 405, 407, 411, 413, 414, 415, 417, 421, 426, 431, 451})

_BY_STATUS = {status: Disposition.FINISHED for status in RunStatus if status.is_terminal}
_BY_STATUS[RunStatus.CANCELLED] = Disposition.CANCELLED


class EndReason(StrEnum):
    """Why a job ended.

    Attributes:
        COMPLETED: All ids have their outcome.
        STOPPED: `CancelJob.stop` was called.
        OUTAGE: The server was unavailable for longer than `outage_timeout`; ids that were not sent are unconfirmed.
        REFUSED: The server refused the caller (401, 402, 407, or 403 for each of the first ten ids).
    """

    COMPLETED = "completed"
    STOPPED = "stopped"
    OUTAGE = "outage"
    REFUSED = "refused"


@attrs.frozen(kw_only=True)
class CancelOutcome(Generic[RunT_co]):
    """Outcome of the cancel of one id.

    Attributes:
        run_id: The id; for what could not be one, its repr.
        kind: Kind of the run (`splits`); empty if it could not be determined.
        disposition: What happened.
        run: The run as the API returned it, if it did.
        error: What failed; for `ACCEPTED`, why the run could not be followed to its end.
        attempts: Number of sends, without those that were throttled; 0 for none.
    """

    run_id: str
    kind: str
    disposition: Disposition
    run: RunT_co | None = None
    error: Exception | None = attrs.field(default=None, hash=False)
    attempts: int = 0


@attrs.frozen(kw_only=True)
class CancelReport:
    """Report of a bulk cancel.

    Attributes:
        counts: Number of ids of each disposition; 0 for a disposition that did not occur.
        settled: Those of them that an earlier run of the job had settled, and that were not sent again.
        failures: Outcomes that are failures; of a stream the first 1,000.
        duplicates: Number of ids that `dedupe` skipped; they have no outcome.
        credits: What the runs cost, as far as the responses say; `DOLLARS_PER_CREDIT` converts it.
        elapsed: Seconds from the start to the end, or until now.
        end_reason: Why the job ended; None while it runs, and if an exception ended it.
        error: The refusal of the caller, if `end_reason` is `REFUSED`.
    """

    counts: Counter[Disposition]
    failures: tuple[CancelOutcome[Run], ...]
    elapsed: float
    settled: Counter[Disposition] = attrs.field(factory=Counter)
    duplicates: int = 0
    credits: float = 0.0
    end_reason: EndReason | None = None
    error: Exception | None = attrs.field(default=None, hash=False)

    def raise_for_failures(self) -> None:
        """Raise an `ExceptionGroup` of the errors of the failures, if there are any."""
        failed = sum(self.counts[disposition] for disposition in FAILURES)
        if failed:
            msg = f"{failed} of {self.counts.total()} cancels failed"
            # Ids that were not sent for the same reason share its error.
            errors = {id(outcome.error): outcome.error for outcome in self.failures if outcome.error is not None}
            raise ExceptionGroup(msg, list(errors.values()))


def disposition_of_run(run: Run) -> Disposition:
    """Return the disposition that the status of a run shows after its cancel was accepted."""
    return _BY_STATUS.get(run.status) or Disposition.ACCEPTED


def disposition_of_error(error: Exception) -> Disposition:
    """Return the disposition of an id whose cancel failed."""
    if isinstance(error, NotFoundError):
        return Disposition.NOT_FOUND
    if isinstance(error, InvalidRunIdError | InvalidRequestError):
        return Disposition.INVALID
    is_rejection = (
        isinstance(error, APIError)
        and 400 <= error.status_code < 500
        and error.status_code not in _NOT_ABOUT_THE_ID
        and not is_transient(error)
    )
    return Disposition.REJECTED if is_rejection else Disposition.UNCONFIRMED


class OutcomeCounts:
    """Counts outcomes and keeps the failures.

    Args:
        max_failures: Number of failures to keep; None for all.

    Attributes:
        counts: All outcomes by disposition.
        settled: Those that an earlier run of the job had settled.
        credits: What the runs cost.
    """

    def __init__(self, max_failures: int | None = None) -> None:
        # Counting in a Counter takes three times as long.
        self.counts: dict[Disposition, int] = dict.fromkeys(Disposition, 0)
        self.settled: Counter[Disposition] = Counter()
        self.credits: float = 0.0
        self._failures: list[tuple[int, CancelOutcome[Run]]] = []
        self._max_failures = max_failures

    def add_usage(self, usage: RetabUsage) -> None:
        """Add what a run cost."""
        self.credits += usage.credits or 0.0

    def add(self, number: int, outcome: CancelOutcome[Run]) -> None:
        """Count the outcome of the id with this number."""
        self.counts[outcome.disposition] += 1
        is_kept = self._max_failures is None or len(self._failures) < self._max_failures
        if is_kept and outcome.disposition.is_failure:
            self._failures.append((number, outcome))

    def failures(self, *, in_order: bool) -> tuple[CancelOutcome[Run], ...]:
        """Return the failures in the order of completion or of the ids."""
        numbered = sorted(self._failures, key=lambda pair: pair[0]) if in_order else self._failures
        return tuple(outcome for _, outcome in numbered)
