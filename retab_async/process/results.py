"""Results of a process job: the result of each document, and the report of the job."""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import attrs

from retab_async.bulk import Disposition, EndReason, disposition_of_error
from retab_async.cleanup import UnconfirmedCancel
from retab_async.errors import InvalidRequestError, RunCancelledError, RunFailedError, WaitTimeoutError
from retab_async.json_codec import dumps_any
from retab_async.models import RetabUsage, Run

RunT_co = TypeVar("RunT_co", bound=Run, covariant=True)
Scalar: TypeAlias = str | int | float | bool | None


class ProcessDisposition(StrEnum):
    """What became of one document.

    Attributes:
        COMPLETED: Its run is completed.
        FAILED: Its run failed.
        CANCELLED: Its run was cancelled by someone else.
        TIMED_OUT: Its run did not finish within `wait_timeout`, and was cancelled.
        REJECTED: The API rejected the document or the arguments.
        INVALID: The document cannot be read, changed while it was sent, or the arguments are invalid; no run.
        UNCONFIRMED: It was not sent, or it is unknown whether there is a run; worth another job.
    """

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    INVALID = "invalid"
    UNCONFIRMED = "unconfirmed"

    @property
    def is_failure(self) -> bool:
        """Whether there is no completed run: anything but completed."""
        return self is not ProcessDisposition.COMPLETED

    @property
    def is_settled(self) -> bool:
        """Whether a job that is resumed skips the document: completed, failed, cancelled or rejected."""
        return self in _SETTLED


_SETTLED = frozenset(
    {
        ProcessDisposition.COMPLETED,
        ProcessDisposition.FAILED,
        ProcessDisposition.CANCELLED,
        ProcessDisposition.REJECTED,
    }
)


@attrs.frozen(kw_only=True)
class ProcessResult(Generic[RunT_co]):
    """Result of one document.

    Attributes:
        FIELDS: The columns that each record has, whatever the disposition: item, run_id, status, error, credits.
        item: What the caller gave.
        name: The name of the document: its path, filename or URL, without the query of a URL.
        disposition: What became of it.
        run: The run as last seen, with its output if it is completed; None without a run, and for a failure of an
            earlier run of the job unless it was read again.
        error: Why it is a failure, None for a completed run.
        key: Identifies the document and its arguments, as in the journal; empty if they are invalid.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ("item", "run_id", "status", "error", "credits")

    item: Any
    name: str
    disposition: ProcessDisposition
    run: RunT_co | None = None
    error: Exception | None = attrs.field(default=None, hash=False)
    key: str = attrs.field(default="", repr=False)

    @property
    def credits(self) -> float | None:
        """What the run cost, None if that is unknown; one credit is $0.01."""
        usage = getattr(self.run, "usage", None)
        return usage.credits if isinstance(usage, RetabUsage) else None

    def to_record(self) -> dict[str, Scalar]:
        """Return a flat row of scalars for a table: item, run_id, status, error, credits, then the output.

        Each row has `FIELDS`; only that of a completed run has its output. A field of the output is `output.total`, one
        below it `output.seller.name`; a list is JSON text. The status is that of the run, or the disposition without a
        run.
        """
        run = self.run
        values: tuple[Scalar, ...] = (
            self.name,
            run.id if run else None,
            str(run.status if run else self.disposition),
            None if self.error is None else str(self.error),
            self.credits,
        )
        record = dict(zip(self.FIELDS, values, strict=True))
        if run is not None and not self.disposition.is_failure:
            record.update(_flatten("output", run.to_dict().get("output")))
        return record


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Scalar]]:
    # Without recursion: what a server nests deeply must not end the job.
    pending = [(name, value)]
    while pending:
        path, each = pending.pop()
        if isinstance(each, Mapping) and each:
            pending += [(f"{path}.{key}", below) for key, below in reversed(list(each.items()))]
        else:
            yield path, each if isinstance(each, str | int | float) or each is None else dumps_any(each).decode()


@attrs.frozen(kw_only=True)
class ProcessReport:
    """Report of a process job.

    Attributes:
        counts: Number of documents of each disposition; 0 for a disposition that did not occur.
        settled: Those of them that an earlier run of the job had settled.
        failures: Results that are failures; of a stream the first 1,000.
        started: Runs that this job created, or found in its journal and continued.
        active: Those of them that are not finished yet.
        credits: What the completed runs cost, as far as it is known; without those of earlier runs of the job.
        elapsed: Seconds from the start to the end, or until now.
        end_reason: Why the job ended; None while it runs, and if an exception ended it.
        error: The refusal of the caller, if `end_reason` is `REFUSED`.
        unconfirmed: Cancels of runs that the job left early, as far as they could not be confirmed.
    """

    counts: Counter[ProcessDisposition]
    failures: tuple[ProcessResult[Run], ...]
    elapsed: float
    settled: Counter[ProcessDisposition] = attrs.field(factory=Counter)
    started: int = 0
    active: int = 0
    credits: float = 0.0
    end_reason: EndReason | None = None
    error: Exception | None = attrs.field(default=None, hash=False)
    unconfirmed: tuple[UnconfirmedCancel, ...] = ()

    def raise_for_failures(self) -> None:
        """Raise an `ExceptionGroup` of the errors of the failures, if there are any."""
        failed = sum(count for disposition, count in self.counts.items() if disposition.is_failure)
        if failed:
            msg = f"{failed} of {self.counts.total()} documents failed"
            # Documents that were not sent for the same reason share its error.
            errors = {id(result.error): result.error for result in self.failures if result.error is not None}
            raise ExceptionGroup(msg, list(errors.values()))


def disposition_of(error: Exception) -> ProcessDisposition:
    """Return the disposition of a document that ended with an error."""
    by_type = (
        (RunFailedError, ProcessDisposition.FAILED),
        (RunCancelledError, ProcessDisposition.CANCELLED),
        (WaitTimeoutError, ProcessDisposition.TIMED_OUT),
        (InvalidRequestError, ProcessDisposition.INVALID),
    )
    for error_type, disposition in by_type:
        if isinstance(error, error_type):
            return disposition
    is_rejection = disposition_of_error(error) in {Disposition.REJECTED, Disposition.NOT_FOUND}
    return ProcessDisposition.REJECTED if is_rejection else ProcessDisposition.UNCONFIRMED
