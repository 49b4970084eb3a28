"""What became of each of many cancels, and of all of them together."""

from collections import Counter
from enum import StrEnum
from typing import Generic, TypeVar

import attrs

from retab_async.errors import APIError, InvalidRequestError, InvalidRunIdError, NotFoundError
from retab_async.models import Run, RunStatus
from retab_async.retry import is_transient

RunT_co = TypeVar("RunT_co", bound=Run, covariant=True)


class Disposition(StrEnum):
    """What became of one id.

    `cancelled`; `finished`: it had completed or failed before; `requested`: accepted, and not over yet; `not_found`;
    `rejected`: the API refused it, or it could not be an id; `unconfirmed`: nothing is known for certain; `planned`:
    what a dry run would cancel.
    """

    CANCELLED = "cancelled"
    FINISHED = "finished"
    ACCEPTED = "requested"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    UNCONFIRMED = "unconfirmed"
    PLANNED = "planned"

    @property
    def is_failure(self) -> bool:
        """Whether the run may still be going on, as far as is known: not_found, rejected or unconfirmed."""
        return self in FAILURES


FAILURES = frozenset({Disposition.NOT_FOUND, Disposition.REJECTED, Disposition.UNCONFIRMED})

_BY_STATUS = {status: Disposition.FINISHED for status in RunStatus if status.is_terminal}
_BY_STATUS[RunStatus.CANCELLED] = Disposition.CANCELLED


@attrs.frozen(kw_only=True)
class CancelOutcome(Generic[RunT_co]):
    """One id and what became of it.

    `run_id`: the id, or for what could not be one what it looks like. `resource`: the name of its collection
    (`splits`), empty where that was not to be learned. `run`: as it then was, where the API told. `error`: what went
    wrong; on one that is `requested`, why it could not be followed to its end. `attempts`: how often it was sent; 0
    for never, and what was refused for pace is not counted.
    """

    run_id: str
    kind: str
    disposition: Disposition
    run: RunT_co | None = None
    error: Exception | None = attrs.field(default=None, hash=False)
    attempts: int = 0


@attrs.frozen(kw_only=True)
class CancelReport:
    """What became of many ids.

    `counts`: how many of each disposition, 0 for those that there were none of. `failures`: the outcomes that are
    not_found, rejected or unconfirmed; of a stream the first 1,000. `elapsed`: seconds. `ended_early`: the server was
    away for too long, and there were more ids than could be asked for, in an iterable of no known length; those were
    not taken, and are not counted.
    """

    counts: Counter[Disposition]
    failures: tuple[CancelOutcome[Run], ...]
    elapsed: float
    ended_early: bool = False

    def raise_for_failures(self) -> None:
        """Raise an `ExceptionGroup` of the failures' errors, if there are any."""
        failed = sum(self.counts[disposition] for disposition in FAILURES)
        if failed:
            msg = f"{failed} of {self.counts.total()} cancels failed"
            # Ids that were never sent for the same reason share its error.
            errors = {id(outcome.error): outcome.error for outcome in self.failures if outcome.error is not None}
            raise ExceptionGroup(msg, list(errors.values()))


def disposition_of_run(run: Run) -> Disposition:
    """Return what the answer to a cancel says."""
    return _BY_STATUS.get(run.status) or Disposition.ACCEPTED


def disposition_of_error(error: Exception) -> Disposition:
    """Return what the error that a cancel ended with says."""
    if isinstance(error, NotFoundError):
        return Disposition.NOT_FOUND
    if isinstance(error, InvalidRunIdError | InvalidRequestError):
        return Disposition.REJECTED
    is_refusal = isinstance(error, APIError) and 400 <= error.status_code < 500 and not is_transient(error)
    return Disposition.REJECTED if is_refusal else Disposition.UNCONFIRMED


class OutcomeCounts:
    """Counts outcomes and keeps those that failed, `most` of them where that is given."""

    def __init__(self, most: int | None = None) -> None:
        # A Counter takes three times as long to count one.
        self.counts = dict.fromkeys(Disposition, 0)
        self._failures: list[tuple[int, CancelOutcome[Run]]] = []
        self._most = most

    def add(self, number: int, outcome: CancelOutcome[Run]) -> None:
        """Count an outcome, of the id of that number."""
        self.counts[outcome.disposition] += 1
        if outcome.disposition.is_failure and (self._most is None or len(self._failures) < self._most):
            self._failures.append((number, outcome))

    def failures(self, *, in_order: bool) -> tuple[CancelOutcome[Run], ...]:
        """Return what failed as it came, or in the order of the ids."""
        numbered = sorted(self._failures, key=lambda pair: pair[0]) if in_order else self._failures
        return tuple(outcome for _, outcome in numbered)
