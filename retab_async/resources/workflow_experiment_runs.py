"""Experiment runs: one block of a workflow, run several times over the same documents."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Unpack

import attrs

from retab_async import bulk
from retab_async.api.kind import KindSpec
from retab_async.lifecycles import MeasuredTiming, WorkflowFamilyRun
from retab_async.listing import RunPager
from retab_async.models import RunStatus
from retab_async.resources.base import RunResource
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, optional_str


@attrs.frozen(kw_only=True, repr=False)
class ExperimentRun(WorkflowFamilyRun):
    """An experiment run; the response to a cancel has only `id` and `lifecycle`, all else is at its default."""

    timing: MeasuredTiming = MeasuredTiming()  # noqa: RUF009 - frozen
    experiment_id: str | None = None
    block_id: str | None = None
    block_type: str | None = None
    n_consensus: int | None = None
    parent_run_id: str | None = None
    block_version_id: str | None = None
    metrics_validity_fingerprint: str | None = None
    metrics_validity_fingerprint_version: int | None = None
    block_execution_fingerprint: str | None = None
    documents_fingerprint: str | None = None
    score: float | None = None
    total_document_count: int = 0
    completed_document_count: int = 0
    document_count: int = 0
    error_count: int = 0


class ExperimentRuns(RunResource[ExperimentRun]):
    """The experiment runs of an account, always in the background: `/v1/workflows/experiments/runs`."""

    path = "/v1/workflows/experiments/runs"
    run_type = ExperimentRun
    spec: KindSpec = KindSpec(
        id_prefix="exprun",
        active_statuses=(RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING),
        status_path=("lifecycle", "status"),
        has_output=False,
        cancel_404_when_finished=True,
    )

    async def create(
        self,
        *,
        experiment_id: str,
        workflow_id: str | None = None,
        plan_token: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> ExperimentRun:
        """Create an experiment run and return it at once, for `wait` to follow.

        `POST /v1/workflows/experiments/runs`

        Args:
            experiment_id: Id of the experiment.
            workflow_id: Id of the experiment's workflow, as a guard.
            plan_token: Token of the plan that the run must follow, as a guard.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        return await self._create(_fields(experiment_id, workflow_id, plan_token), idempotency_key, extra_body)

    def running(
        self,
        *,
        experiment_id: str,
        workflow_id: str | None = None,
        plan_token: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> RunScope[ExperimentRun]:
        """Tie an experiment run to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/workflows/experiments/runs`, `POST /v1/workflows/experiments/runs/{run_id}/cancel`
        """
        return self._running(_fields(experiment_id, workflow_id, plan_token), idempotency_key, extra_body)

    def list(
        self,
        *,
        workflow_id: str | None = None,
        experiment_id: str | None = None,
        block_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[ExperimentRun]:
        """Return the experiment runs that match all filters; iterate with `async for`.

        See `ListedRuns.list`.

        `GET /v1/workflows/experiments/runs`

        Args:
            workflow_id: Only runs of this workflow.
            experiment_id: Only runs of this experiment.
            block_id: Only runs of this block.
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
            experiment_id=experiment_id,
            block_id=block_id,
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
        experiment_id: str | None = None,
        block_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[ExperimentRun]":
        """Cancel all experiment runs that match; by default those that are active.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/workflows/experiments/runs`, `POST /v1/workflows/experiments/runs/{id}/cancel`
        """
        return self._cancel_matching(
            options,
            workflow_id=workflow_id,
            experiment_id=experiment_id,
            block_id=block_id,
            status=status,
            exclude_status=exclude_status,
            trigger_type=trigger_type,
            from_date=from_date,
            to_date=to_date,
        )


def _fields(experiment_id: str, workflow_id: str | None, plan_token: str | None) -> dict[str, Any]:
    return drop_none(
        {
            "experiment_id": non_blank_str("experiment_id", experiment_id),
            "workflow_id": optional_str("workflow_id", workflow_id),
            "plan_token": optional_str("plan_token", plan_token),
        }
    )
