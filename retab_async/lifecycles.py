"""Lifecycles of workflow runs: a tagged union, discriminated by `status`."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from retab_async.models import PrimitiveError, Run, RunStatus, SparseRepr, default_of, to_status


@attrs.frozen(kw_only=True, repr=False)
class Lifecycle(SparseRepr):
    """State of a run of the workflow family; the subclasses add what belongs to each status."""

    status: RunStatus = attrs.field(converter=to_status)


@attrs.frozen(kw_only=True, repr=False)
class PendingLifecycle(Lifecycle):
    """Accepted."""

    status: RunStatus = attrs.field(default=RunStatus.PENDING, converter=to_status)


@attrs.frozen(kw_only=True, repr=False)
class QueuedLifecycle(Lifecycle):
    """Waiting for its turn."""

    status: RunStatus = attrs.field(default=RunStatus.QUEUED, converter=to_status)


@attrs.frozen(kw_only=True, repr=False)
class RunningLifecycle(Lifecycle):
    """In progress."""

    status: RunStatus = attrs.field(default=RunStatus.RUNNING, converter=to_status)


@attrs.frozen(kw_only=True, repr=False)
class AwaitingReviewLifecycle(Lifecycle):
    """Paused until a person has reviewed the blocks that the run waits for; it can be cancelled."""

    status: RunStatus = attrs.field(default=RunStatus.AWAITING_REVIEW, converter=to_status)
    waiting_for_block_ids: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class CompletedLifecycle(Lifecycle):
    """Finished successfully."""

    status: RunStatus = attrs.field(default=RunStatus.COMPLETED, converter=to_status)


@attrs.frozen(kw_only=True, repr=False)
class ErrorDetails(SparseRepr):
    """Origin of an error, as far as it is known."""

    message: str | None = None
    stack_trace: str | None = None
    block_id: str | None = None
    block_name: str | None = None
    error_code: str | None = None
    context: Mapping[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class ErrorLifecycle(Lifecycle):
    """Finished with an error: `error`, or `failed`.

    Attributes:
        message: Explanation for people.
        details: Origin of the error.
        stage: Workflow runs only: the stage that failed.
        category: Workflow runs only: `transient`, `permanent` or `quota`.
        failing_step_id: Workflow runs only: the step that failed.
    """

    status: RunStatus = attrs.field(default=RunStatus.ERROR, converter=to_status)
    message: str = ""
    details: ErrorDetails | None = None
    stage: str | None = None
    category: str | None = None
    failing_step_id: str | None = None

    @property
    def error(self) -> PrimitiveError:
        """The same error in the form that the document kinds use."""
        details = self.details or ErrorDetails()
        extra = {"stage": self.stage, "category": self.category, "failing_step_id": self.failing_step_id} | {
            field.name: getattr(details, field.name)
            for field in attrs.fields(ErrorDetails)
            if field.name not in {"message", "error_code"}
        }
        return PrimitiveError(
            code=details.error_code or "",
            message=self.message or details.message or "",
            details={name: value for name, value in extra.items() if value is not None} or None,
        )


@attrs.frozen(kw_only=True, repr=False)
class CancelledLifecycle(Lifecycle):
    """Finished because it was cancelled."""

    status: RunStatus = attrs.field(default=RunStatus.CANCELLED, converter=to_status)
    reason: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class UnknownLifecycle(Lifecycle):
    """A status that this library does not know."""


# "failed" is documented as a list filter and as what the service records.
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
    """Times at which a run was created, started and finished."""

    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


@attrs.frozen(kw_only=True, repr=False)
class MeasuredTiming(RunTiming):
    """Times at which a run was created, started and finished, and its duration in milliseconds."""

    duration_ms: int | None = None


@attrs.frozen(kw_only=True, repr=False)
class WorkflowFamilyRun(Run):
    """A run of a workflow kind: `status` and `error` come from its `lifecycle`, `created_at` from its `timing`."""

    lifecycle: Lifecycle
    timing: RunTiming = RunTiming()
    workflow_id: str | None = None
    workflow_version_id: str | None = None
    trigger: RunTrigger | None = None

    @property
    def status(self) -> RunStatus:
        """Current status; `awaiting_review` is a pause and not terminal."""
        return self.lifecycle.status

    @property
    def error(self) -> PrimitiveError | None:
        """Why the run failed, None unless it did."""
        return self.lifecycle.error if isinstance(self.lifecycle, ErrorLifecycle) else None

    @property
    def created_at(self) -> datetime | None:
        """Creation time as an aware `datetime`, None if the API left it out."""
        return self.timing.created_at
