"""The states of the runs of the workflow family: objects that are told apart by their `status`."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from retab_async.models import PrimitiveError, Run, RunStatus, SparseRepr, default_of


@attrs.frozen(kw_only=True, repr=False)
class Lifecycle(SparseRepr):
    """Where a run of the workflow family stands, and what belongs to being there; see its subclasses."""

    status: RunStatus


@attrs.frozen(kw_only=True, repr=False)
class PendingLifecycle(Lifecycle):
    """Accepted."""

    status: RunStatus = RunStatus.PENDING


@attrs.frozen(kw_only=True, repr=False)
class QueuedLifecycle(Lifecycle):
    """Waiting for its turn."""

    status: RunStatus = RunStatus.QUEUED


@attrs.frozen(kw_only=True, repr=False)
class RunningLifecycle(Lifecycle):
    """Under way."""

    status: RunStatus = RunStatus.RUNNING


@attrs.frozen(kw_only=True, repr=False)
class AwaitingReviewLifecycle(Lifecycle):
    """Paused until somebody has reviewed the blocks that it waits for; it can be cancelled."""

    status: RunStatus = RunStatus.AWAITING_REVIEW
    waiting_for_block_ids: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class CompletedLifecycle(Lifecycle):
    """Over, and done."""

    status: RunStatus = RunStatus.COMPLETED


@attrs.frozen(kw_only=True, repr=False)
class ErrorDetails(SparseRepr):
    """Where an error came from, as far as it is known."""

    message: str | None = None
    stack_trace: str | None = None
    block_id: str | None = None
    block_name: str | None = None
    error_code: str | None = None
    context: Mapping[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class ErrorLifecycle(Lifecycle):
    """Over, for an error: `error`, or `failed`.

    `stage`, `category` (`transient`, `permanent`, `quota`) and `failing_step_id` are told of workflow runs.
    """

    status: RunStatus = RunStatus.ERROR
    message: str = ""
    details: ErrorDetails | None = None
    stage: str | None = None
    category: str | None = None
    failing_step_id: str | None = None

    @property
    def error(self) -> PrimitiveError:
        """The same in the form in which the other kinds tell it."""
        details = self.details or ErrorDetails()
        told = {"stage": self.stage, "category": self.category, "failing_step_id": self.failing_step_id} | {
            field.name: getattr(details, field.name)
            for field in attrs.fields(ErrorDetails)
            if field.name not in {"message", "error_code"}
        }
        return PrimitiveError(
            code=details.error_code or "",
            message=self.message or details.message or "",
            details={name: value for name, value in told.items() if value is not None} or None,
        )


@attrs.frozen(kw_only=True, repr=False)
class CancelledLifecycle(Lifecycle):
    """Over, because it was cancelled."""

    status: RunStatus = RunStatus.CANCELLED
    reason: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class UnknownLifecycle(Lifecycle):
    """What the API calls by a word that this library does not know."""


# "failed" is a word of the list's filter, and said to be what the service records.
LIFECYCLES: Mapping[str, type[Lifecycle]] = MappingProxyType(
    {
        str(default_of(attrs.fields(kind).status)): kind
        for kind in (
            PendingLifecycle,
            QueuedLifecycle,
            RunningLifecycle,
            AwaitingReviewLifecycle,
            CompletedLifecycle,
            ErrorLifecycle,
            CancelledLifecycle,
        )
    }
    | {str(RunStatus.FAILED): ErrorLifecycle}
)


@attrs.frozen(kw_only=True, repr=False)
class RunTrigger(SparseRepr):
    """What started a run: `api`, `manual`, `schedule`, ..., an open vocabulary."""

    type: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class RunTiming(SparseRepr):
    """When a run was created, started and over."""

    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


@attrs.frozen(kw_only=True, repr=False)
class MeasuredTiming(RunTiming):
    """When a run was created, started and over, and how many milliseconds it took."""

    duration_ms: int | None = None


@attrs.frozen(kw_only=True, repr=False)
class WorkflowFamilyRun(Run):
    """A run that tells its state in a `lifecycle`; `status`, `error` and `created_at` are read from there."""

    lifecycle: Lifecycle
    timing: RunTiming = RunTiming()
    workflow_id: str | None = None
    workflow_version_id: str | None = None
    trigger: RunTrigger | None = None

    @property
    def status(self) -> RunStatus:
        """Where the run stands; `awaiting_review` is a pause, not an end."""
        return self.lifecycle.status

    @property
    def error(self) -> PrimitiveError | None:
        """Why the run failed, None for one that did not."""
        return self.lifecycle.error if isinstance(self.lifecycle, ErrorLifecycle) else None

    @property
    def created_at(self) -> datetime | None:
        """When the run was created: an aware `datetime`, None where it is not told."""
        return self.timing.created_at
