"""Experiment runs: one block of a workflow, several times over the same documents."""

from datetime import date
from typing import Any, Literal

import attrs

from retab_async.api.kind import KindSpec
from retab_async.lifecycles import MeasuredTiming, WorkflowFamilyRun
from retab_async.listing import RunPager
from retab_async.models import RunStatus
from retab_async.resources.base import WorkflowFamilyRuns
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, optional_str


@attrs.frozen(kw_only=True, repr=False)
class ExperimentRun(WorkflowFamilyRun):
    """An experiment run; what a cancel answers is `id` and `lifecycle`, and all else is then at its default."""

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


class ExperimentRuns(WorkflowFamilyRuns[ExperimentRun]):
    """The experiment runs of an account, always in the background: `/v1/workflows/experiments/runs`."""

    path = "/v1/workflows/experiments/runs"
    run_type = ExperimentRun
    spec = KindSpec(
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
    ) -> ExperimentRun:
        """Start an experiment run and return it at once, for `wait` to follow.

        `workflow_id`: must be the experiment's. `plan_token`: of the plan that the run is to go by, as a guard. The
        rest, and what is raised, is told at `RunResource`.

        `POST /v1/workflows/experiments/runs`
        """
        return await self._create(_fields(experiment_id, workflow_id, plan_token), idempotency_key)

    def running(
        self,
        *,
        experiment_id: str,
        workflow_id: str | None = None,
        plan_token: str | None = None,
        idempotency_key: str | None = None,
    ) -> RunScope[ExperimentRun]:
        """Tie an experiment run to a block; see `RunResource`.

        `POST /v1/workflows/experiments/runs`, `POST /v1/workflows/experiments/runs/{run_id}/cancel`
        """
        return self._running(_fields(experiment_id, workflow_id, plan_token), idempotency_key)

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        workflow_id: str | None = None,
        experiment_id: str | None = None,
        block_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[ExperimentRun]:
        """Return the experiment runs that match all filters; see `ListedRuns.list`.

        `GET /v1/workflows/experiments/runs`
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


def _fields(experiment_id: str, workflow_id: str | None, plan_token: str | None) -> dict[str, Any]:
    return drop_none(
        {
            "experiment_id": non_blank_str("experiment_id", experiment_id),
            "workflow_id": optional_str("workflow_id", workflow_id),
            "plan_token": optional_str("plan_token", plan_token),
        }
    )
