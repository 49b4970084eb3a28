"""Workflow eval runs: results of a workflow compared with known ones."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Unpack

import attrs

from retab_async import bulk
from retab_async.api.kind import KindSpec
from retab_async.lifecycles import MeasuredTiming, WorkflowFamilyRun
from retab_async.listing import RunPager
from retab_async.models import RunStatus, SparseRepr
from retab_async.resources.base import RunResource
from retab_async.scope import RunScope
from retab_async.validation import non_blank_str, reject


@attrs.frozen(kw_only=True, repr=False)
class EvalRunBlockTarget(SparseRepr):
    """The block under evaluation."""

    type: str = "block"
    block_id: str = ""


@attrs.frozen(kw_only=True, repr=False)
class BlockEvalLifecycleCounts(SparseRepr):
    """Number of evals in each status."""

    pending: int = 0
    queued: int = 0
    running: int = 0
    completed: int = 0
    error: int = 0
    cancelled: int = 0


@attrs.frozen(kw_only=True, repr=False)
class BlockEvalOutcomeCounts(SparseRepr):
    """Number of evals with each outcome."""

    passed: int = 0
    failed: int = 0
    blocked: int = 0


@attrs.frozen(kw_only=True, repr=False)
class BlockEvalBatchExecutionCounts(SparseRepr):
    """Numbers of evals of a run, by status and by outcome."""

    lifecycle_counts: BlockEvalLifecycleCounts = BlockEvalLifecycleCounts()
    outcome: BlockEvalOutcomeCounts = BlockEvalOutcomeCounts()


@attrs.frozen(kw_only=True, repr=False)
class EvalRunFreshness(SparseRepr):
    """Whether the results are still valid (`fresh`, `stale`, `unknown`), and why not."""

    status: str = "unknown"
    reasons: tuple[str, ...] = ()
    validity_fingerprint: str | None = None
    input_fingerprint: str | None = None
    baseline_run_id: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class WorkflowEvalRun(WorkflowFamilyRun):
    """An eval run; a completed one may contain failed evals, see `counts`."""

    timing: MeasuredTiming = MeasuredTiming()  # noqa: RUF009 - frozen
    target: EvalRunBlockTarget | None = None
    eval_id: str | None = None
    total_evals: int = 0
    counts: BlockEvalBatchExecutionCounts = BlockEvalBatchExecutionCounts()
    freshness: EvalRunFreshness | None = None


class WorkflowEvalRuns(RunResource[WorkflowEvalRun]):
    """The eval runs of an account, always in the background: `/v1/workflows/evals/runs`."""

    path = "/v1/workflows/evals/runs"
    run_type = WorkflowEvalRun
    spec: KindSpec = KindSpec(
        id_prefix="wfevalrun",
        active_statuses=(RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING),
        status_path=("lifecycle", "status"),
        has_output=False,
        list_needs_datetimes=True,
        cancel_404_when_finished=True,
    )

    async def create(
        self,
        *,
        workflow_id: str,
        eval_id: str | None = None,
        block_id: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> WorkflowEvalRun:
        """Create an eval run and return it at once, for `wait` to follow.

        `POST /v1/workflows/evals/runs`

        Args:
            workflow_id: Id of the workflow; all its saved evals are run by default.
            eval_id: Only this eval.
            block_id: Only the evals of this block.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        return await self._create(_fields(workflow_id, eval_id, block_id), idempotency_key, extra_body)

    def running(
        self,
        *,
        workflow_id: str,
        eval_id: str | None = None,
        block_id: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> RunScope[WorkflowEvalRun]:
        """Tie an eval run to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/workflows/evals/runs`, `POST /v1/workflows/evals/runs/{run_id}/cancel`
        """
        return self._running(_fields(workflow_id, eval_id, block_id), idempotency_key, extra_body)

    def list(
        self,
        *,
        workflow_id: str | None = None,
        eval_id: str | None = None,
        target_block_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[WorkflowEvalRun]:
        """Return the eval runs that match all filters; iterate with `async for`.

        See `ListedRuns.list`.

        `GET /v1/workflows/evals/runs`

        Args:
            workflow_id: Only runs of this workflow.
            eval_id: Only runs of this eval.
            target_block_id: Only runs of this block.
            status: Only runs with this status.
            exclude_status: Only runs with another status.
            trigger_type: Only runs started by this trigger, such as `api` or `schedule`.
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            order: `desc` (newest first) or `asc`.
            limit: Runs in a page, 1 to 100; not a limit on the total.
            before: Id to continue from, backward.
            after: Id to continue from, forward.
        """
        return self._list(
            workflow_id=workflow_id,
            eval_id=eval_id,
            target_block_id=target_block_id,
            status=status,
            exclude_status=exclude_status,
            trigger_type=trigger_type,
            from_date=from_date,
            to_date=to_date,
            order=order,
            limit=limit,
            before=before,
            after=after,
        )

    def cancel_matching(
        self,
        *,
        workflow_id: str | None = None,
        eval_id: str | None = None,
        target_block_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[WorkflowEvalRun]":
        """Cancel all eval runs that match; by default those that are active.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/workflows/evals/runs`, `POST /v1/workflows/evals/runs/{id}/cancel`
        """
        return self._cancel_matching(
            options,
            workflow_id=workflow_id,
            eval_id=eval_id,
            target_block_id=target_block_id,
            status=status,
            exclude_status=exclude_status,
            trigger_type=trigger_type,
            from_date=from_date,
            to_date=to_date,
        )


def _fields(workflow_id: str, eval_id: str | None, block_id: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"workflow_id": non_blank_str("workflow_id", workflow_id)}
    if eval_id is not None and block_id is not None:
        reject("give an eval_id or a block_id, not both")
    if eval_id is not None:
        fields["scope"] = {"type": "single", "eval_id": non_blank_str("eval_id", eval_id)}
    if block_id is not None:
        fields["scope"] = {"type": "block", "block_id": non_blank_str("block_id", block_id)}
    return fields
