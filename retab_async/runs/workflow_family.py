"""`cancel_matching`, for the kinds of run that workflows have."""

import os
from datetime import date
from typing import TypeVar

from retab_async.bulk import CancelJob, Order, Terms
from retab_async.models import Run, RunStatus
from retab_async.pacing import RateLimit
from retab_async.runs.resource import RunResource

RunT = TypeVar("RunT", bound=Run)


class WorkflowFamilyRuns(RunResource[RunT]):
    """The runs of a kind that workflows have; their lists have filters of their own."""

    def cancel_matching(  # noqa: PLR0913 - the filters, and how to go about it
        self,
        *,
        workflow_id: str | None = None,
        status: RunStatus | str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: Order = "completion",
        dry_run: bool = False,
        wait: bool = False,
        patience: float = 60.0,
    ) -> CancelJob[RunT]:
        """Cancel all runs that match, by default those that are not over; see `ListedRuns.cancel_matching`.

        `GET {path}`, `POST {path}/{id}/cancel`
        """
        terms = Terms.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            dry_run=dry_run,
            wait=wait,
            patience=patience,
        )
        return self._cancel_matching(
            terms, workflow_id=workflow_id, status=status, from_date=from_date, to_date=to_date
        )
