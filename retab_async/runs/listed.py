"""`list` and `cancel_matching`, by the filters that most lists have."""

import os
from datetime import date
from typing import Literal, TypeVar

from retab_async.bulk import CancelJob, Order, Terms
from retab_async.listing import Listed
from retab_async.models import Run, RunStatus
from retab_async.pacing import RateLimit
from retab_async.runs.resource import RunResource

RunT = TypeVar("RunT", bound=Run)


class ListedRuns(RunResource[RunT]):
    """The runs of a kind that can be listed, by the filters that most lists have."""

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> Listed[RunT]:
        """Return the runs that match all filters, newest first, as `async for` that asks page by page as it goes.

        `filename`: its start, in either case. `from_date`, `to_date`: when a run was created; a `date` is that whole
        day in UTC, a `datetime` must be an aware one. `limit`: runs a page, 1 to 100, not in all. `after`, `before`:
        the id to go on from, forward or backward page by page. A row that does not fit is given with defaults and
        logged, one without an id left out.

        Raises `InvalidRequestError` at once; where it is walked, what `get` raises.

        `GET {path}`
        """
        return self._list(
            status=status,
            filename=filename,
            from_date=from_date,
            to_date=to_date,
            order=order,
            limit=limit,
            before=before,
            after=after,
        )

    def cancel_matching(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
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
        """Cancel all runs that match, while listing them: by default those that are not over, whatever their status.

        The lists are walked, oldest runs first, until a walk brings no run that was not met before; each is cancelled
        once. `dry_run`: one walk, and each outcome is `planned`, with the run; nothing but lists is sent. The filters
        are those of `list`, the rest and what it gives is as in `cancel_many`. A list that cannot be had, not for as
        long as `patience` lasts, ends the job.

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
        return self._cancel_matching(terms, status=status, filename=filename, from_date=from_date, to_date=to_date)
