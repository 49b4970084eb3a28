"""The verbs that runs of all kinds have, written once."""

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from datetime import date
from typing import Any, Generic, Literal, TypeVar

from retab_async.api.kind import KindSpec
from retab_async.api.parser import RunParser
from retab_async.api.run_api import RunApi
from retab_async.bulk import CancelJob, CancelOptions, CancelTarget, Order, RunScan, scan_queries
from retab_async.cleanup import CleanupQueue
from retab_async.errors import InvalidRunIdError
from retab_async.listing import RunPager, list_query, with_day_bounds
from retab_async.models import Run, RunStatus
from retab_async.polling import StatusCallback, Waiter, WaitIterator
from retab_async.protocol import run_path
from retab_async.scope import CreateSpec, RunHandle, RunScope
from retab_async.throttle import RateLimit
from retab_async.transport import Transport
from retab_async.validation import idempotency_key, reject

RunT = TypeVar("RunT", bound=Run)


class RunResource(Generic[RunT]):
    """The runs of one kind; a kind declares its `path`, `run_type` and `spec`, and brings its models.

    `DeletableRuns`, `ListedRuns` and `WorkflowFamilyRuns` add what the API has not for all kinds.
    What the creates have in common:

    `document`: a path, bytes, a binary file, an https:// or `data:` URL, a `MIMEData`, or the `FileRef` of another run;
    files are read in pieces beside the event loop, and what is too large for one request is uploaded before.
    `n_consensus`: how many votes are taken. `bust_cache`: not from the service's cache. `background`: come back at
    once, for `wait` to follow, instead of when the run is over. `idempotency_key`: what is sent under the same key is
    done once, within a day; by default a new one for each call, which its attempts share.

    They raise `InvalidRequestError` before anything is sent, `InvalidDocumentError` among them, and what `get` raises.
    An error whose `in_doubt` is True carries the `idempotency_key` under which to try again.

    And the `running`s: each takes the arguments of its `create`, and ties what that creates in the background to a
    block: `async with client.splits.running(...) as run: await run.result()`. Left before the run is over, by whichever
    way, the block cancels it on the server; what is certain then, for each way out, stands at `RunScope`. The handle
    also has `id`, `get()`, `cancel()`, and `detach()` to let the run go on.
    """

    path: str
    run_type: type[RunT]
    spec: KindSpec = KindSpec()

    def __init__(self, transport: Transport, cleanup: CleanupQueue) -> None:
        self._cleanup = cleanup
        reader = RunParser(self.path, self.run_type, self.spec)
        self._api = RunApi(transport, self.path, reader, self.spec)
        self._waiter = Waiter(self._api)

    async def cancel(self, run_id: str | RunT) -> RunT:
        """Cancel a run and return it as it then is; `run_id` is its id or the run itself.

        Idempotent: a run that had completed, failed or been cancelled comes back unchanged, so read `status`. Once the
        API has accepted the cancel this does not fail for the shape of the answer: what does not fit is left at its
        default and logged.

        Raises `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s,
        `APIConnectionError` (the run may or may not be cancelled: call it again), `ResponseError` where no status can
        be had of the run, not even by a `GET`.

        `POST {path}/{id}/cancel`
        """
        return await self._api.cancel(self._id_of(run_id))

    def cancel_many(  # noqa: PLR0913 - how to go about it, all of it optional
        self,
        runs: Iterable[str | RunT] | AsyncIterable[str | RunT],
        *,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: Order = "completion",
        wait: bool = False,
        outage_timeout: float = 60.0,
    ) -> CancelJob[RunT]:
        """Cancel many runs: `await` it for a `CancelReport`, or `async with` it for each `CancelOutcome` as it comes.

        `ids`: ids or runs, from any iterable, an asynchronous or endless one too; `concurrency` workers pull from it,
        so memory does not grow with its length. Each that is taken has exactly one outcome; one that comes twice is
        sent twice. `order="input"`: outcomes in the order of the ids, as the first of them permits. `wait`: follow what
        is accepted and not over yet to its end, an hour at the most.

        `rate_limit`: keep to `RateLimit(300, per=60)` from the start; without it the job learns what the server bears,
        beginning with 8 at once. `journal`: a file that takes down each outcome within a second; with the same one
        again, ids that came to a final outcome before are skipped, and counted. A job has its journal to itself.

        What fails in a way that may pass is tried again, as the client's `retry` says. While the server is away nothing
        is sent but a probe now and then: the last cancel that was answered, again, or one of those that wait. After
        `outage_timeout` seconds the remaining ids are reported `unconfirmed`, unsent; of an iterable that has no length as
        many as come within a second, and the report's `ended_early` says if there were more. So they are, at once,
        where a `Retry-After` asks for more than that, or in a 429 for more than five minutes too.

        Raises `InvalidRequestError` and `ConfigurationError` at once; the job, what the iterable raises,
        `JournalError` where outcomes cannot be taken down any more, and `ClientStateError`. One id's failure is its
        outcome.

        `POST {path}/{id}/cancel`
        """
        terms = CancelOptions.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            wait=wait,
            outage_timeout=outage_timeout,
        )
        return CancelJob(runs, (self._cancel_target,), self._run_id_of, terms)

    async def get(self, run_id: str | RunT, *, include_output: bool = True) -> RunT:
        """Return a run as it is now; with `include_output=False` a cheap read, of the status above all.

        Where the API has no such read, for schema generations and the runs of workflows, it is the same as without.

        Raises `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s,
        `APIConnectionError`, and `ResponseError` for a body of another shape, with the place in its `path`.

        `GET {path}/{id}`
        """
        run, _ = await self._api.fetch(self._id_of(run_id), include_output=include_output)
        return run

    async def wait(
        self,
        run_id: str | RunT,
        *,
        timeout: float | None = 3600.0,  # noqa: ASYNC109 - it tells the last run seen
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> RunT:
        """Return a run, with its output, once it is terminal, whatever its status.

        `timeout`: seconds, None for no end. `poll_interval`: seconds from look to look, by default growing from 0.5 to
        10, unless the server says when to look again. `on_status` is called with the run whenever it is seen in another
        status. From eight waits on, those of one client share their looks: one page of the list for all of them.

        What is transient does not end a wait. Raises `WaitTimeoutError` with the run as it was last seen,
        `NotFoundError` when the run was not there three times in a row, other `APIError`s of the 4xx at once.

        `GET {path}/{id}`, `GET {path}`
        """
        return await self._waiter.wait(
            self._id_of(run_id), timeout=timeout, poll_interval=poll_interval, on_status=on_status
        )

    def wait_many(
        self,
        runs: Iterable[str | RunT],
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> WaitIterator[RunT]:
        """Return the runs as they end, each id once: `async for run in client.splits.wait_many(ids)`.

        `timeout` is for all of them, from the first step on; the rest as in `wait`. What failed is raised after the
        last one, as an `ExceptionGroup` of what `wait` raises. Leaving the loop early leaves nothing behind.

        `GET {path}/{id}`, `GET {path}`
        """
        if isinstance(runs, str | Run):
            reject(f"run_ids must be several ids or runs, not the one {runs!r:.200}")
        ids = [self._id_of(run_id) for run_id in runs]
        return self._waiter.wait_many(ids, timeout=timeout, poll_interval=poll_interval, on_status=on_status)

    def attach(self, run_id: str | RunT) -> RunScope[RunT]:
        """Tie a run that exists to a block, as `running` does with one that it creates; entering sends nothing."""
        told = run_id if isinstance(run_id, self.run_type) else None
        run_id = self._id_of(run_id)
        run_path(self.path, run_id)
        handle = RunHandle(self._api, self._waiter, run_id, told)
        return RunScope(self._api, self._waiter, self._cleanup, handle)

    @property
    def _cancel_target(self) -> CancelTarget[RunT]:
        return CancelTarget(self._api.kind, self._api, self._waiter)

    def _run_id_of(self, run: str | RunT) -> tuple[str, str]:
        run_id = run if isinstance(run, str) else self._id_of(run)
        if not isinstance(run_id, str):
            run_path(self.path, run_id)
        return self._api.kind, run_id

    def _cancel_matching(self, terms: CancelOptions, *, status: str | None, **filters: Any) -> CancelJob[RunT]:
        # In the order of life: a run that moves on while one list is walked is met in a later one.
        lists = scan_queries(self.spec.active_statuses if status is None else (status,), **self._list_filters(filters))
        matching = RunScan(self._api.fetch_page, lists, outage_timeout=terms.outage_timeout, single_pass=terms.is_dry)
        return CancelJob(matching, (self._cancel_target,), self._run_id_of, terms)

    def _list(self, **filters: Any) -> RunPager[RunT]:
        return RunPager(self._api.fetch_page, list_query(**self._list_filters(filters)), self.path)

    def _list_filters(self, filters: dict[str, Any]) -> dict[str, Any]:
        return with_day_bounds(filters) if self.spec.list_needs_datetimes else filters

    async def _create(self, fields: Mapping[str, Any], key: str | None) -> RunT:
        return await self._api.create(fields, idempotency_key(key))

    def _running(self, fields: Mapping[str, Any], key: str | None) -> RunScope[RunT]:
        return RunScope(self._api, self._waiter, self._cleanup, self._creation(fields, key))

    def _creation(self, fields: Mapping[str, Any], key: str | None) -> CreateSpec:
        return CreateSpec(fields, idempotency_key(key))

    def _id_of(self, run: str | RunT) -> str:
        # Most are ids, and to ask a string whether it is a Run takes long.
        if isinstance(run, str) or not isinstance(run, Run):
            return run
        if not isinstance(run, self.run_type):
            msg = f"a {type(run).__name__} is not a run of {self.path}"
            raise InvalidRunIdError(msg)
        return run.id


class DeletableRuns(RunResource[RunT]):
    """The runs of a kind that can be deleted."""

    async def delete(self, run_id: str | RunT) -> None:
        """Delete a run; one that is still going on is to be cancelled first.

        A repeat whose earlier attempt may have deleted the run takes its absence for success. Raises
        `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s, `APIConnectionError`.

        `DELETE {path}/{id}`
        """
        await self._api.delete(self._id_of(run_id))


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
    ) -> RunPager[RunT]:
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
        outage_timeout: float = 60.0,
    ) -> CancelJob[RunT]:
        """Cancel all runs that match, while listing them: by default those that are not over, whatever their status.

        The lists are walked, oldest runs first, until a walk brings no run that was not met before; each is cancelled
        once. `dry_run`: one walk, and each outcome is `planned`, with the run; nothing but lists is sent. The filters
        are those of `list`, the rest and what it gives is as in `cancel_many`. A list that cannot be had, not for as
        long as `outage_timeout` lasts, ends the job.

        `GET {path}`, `POST {path}/{id}/cancel`
        """
        terms = CancelOptions.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            dry_run=dry_run,
            wait=wait,
            outage_timeout=outage_timeout,
        )
        return self._cancel_matching(terms, status=status, filename=filename, from_date=from_date, to_date=to_date)


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
        outage_timeout: float = 60.0,
    ) -> CancelJob[RunT]:
        """Cancel all runs that match, by default those that are not over; see `ListedRuns.cancel_matching`.

        `GET {path}`, `POST {path}/{id}/cancel`
        """
        terms = CancelOptions.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            dry_run=dry_run,
            wait=wait,
            outage_timeout=outage_timeout,
        )
        return self._cancel_matching(
            terms, workflow_id=workflow_id, status=status, from_date=from_date, to_date=to_date
        )


__all__ = ["DeletableRuns", "ListedRuns", "RunResource", "WorkflowFamilyRuns"]
