"""Base classes of the resources: the methods that the kinds of run share."""

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import date
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast

from retab_async import bulk, polling, process
from retab_async.api.kind import KindSpec, kind_of_path
from retab_async.api.parser import RunParser
from retab_async.api.run_api import RunApi
from retab_async.documents.field import Document
from retab_async.errors import InvalidRunIdError, NotFoundError
from retab_async.listing import RunPager, list_query, with_day_bounds
from retab_async.models import Run, RunStatus
from retab_async.official_names import OfficialNames, add_parameter_hint, explain_parameters
from retab_async.protocol import run_id_of, run_path
from retab_async.scope import CreateSpec, RunHandle, RunScope, reject_cancelled
from retab_async.throttle import RateLimit
from retab_async.validation import idempotency_key, optional_callable, reject, with_extra_body

if TYPE_CHECKING:
    from retab_async.cleanup import CleanupQueue
    from retab_async.documents import UploadCallback
    from retab_async.transport import Transport

RunT = TypeVar("RunT", bound=Run)
MethodT = TypeVar("MethodT", bound=Callable[..., Awaitable[Any]])


def _run_method(method: MethodT) -> MethodT:
    """Wrap a method on one run: accept the official id name, and explain a 404.

    The methods are plain functions that return a coroutine, which saves one coroutine for each call.
    """

    @wraps(method)
    async def call(self: "RunResource[Any]", *args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs and (name := self.spec.id_name) in kwargs:
                # Of two ids, Python's own error says that there are two.
                called = method(self, *args, run_id=kwargs.pop(name), **kwargs)
            else:
                called = method(self, *args, **kwargs)
        except TypeError as error:
            add_parameter_hint(error, method, kwargs)
            raise
        try:
            return await called
        except NotFoundError as error:
            self._add_hint(error)
            raise

    return cast("MethodT", call)


# Documents, pairs of a filename and a document, or mappings of the arguments that differ.
DocumentItems: TypeAlias = (
    Iterable[Document] | AsyncIterable[Document] | Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
)


class RunResource(OfficialNames, Generic[RunT]):
    """The runs of one kind; base class of the resources of a client.

    A kind declares its `path`, `run_type` and `spec`, and adds `create`, `running` and its models. `DeletableRuns`,
    `ListedRuns` adds what the API does not offer for all kinds.

    Every `create` reads files in pieces outside the event loop, and uploads what is too large for one request. Every
    `running` takes the arguments of its `create` and ties the new run to a block of code, which cancels the run
    when it is left early: `async with client.splits.running(...) as run: await run.result()`. See `RunScope`.

    For work that is resumed after a crash, use `create(background=True, idempotency_key=...)` and `wait`: a repeated
    key gives the run of its first use, within a day. A run that `running` has cancelled cannot be resumed; its key
    then raises `IdempotencyReplayError`.

    `cancel`, `get`, `wait` and `delete` take the id also by its name in the official client, such as `split_id=`.

    Attributes:
        path: Route of the kind, such as `/v1/splits`.
        run_type: Model of its runs.
        spec: Differences between kinds on the wire.
    """

    path: str
    run_type: type[RunT]
    spec: KindSpec = KindSpec()
    _kind_of_prefix: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        explain_parameters(cls)
        if cls.spec.id_prefix:
            cls._kind_of_prefix[cls.spec.id_prefix] = kind_of_path(cls.path)

    def __init__(self, transport: "Transport", load_cleanup: "Callable[[], CleanupQueue]") -> None:
        self._cleanup = cleanup = load_cleanup()
        parser = RunParser(self.path, self.run_type, self.spec)
        self._api = RunApi(transport, self.path, parser, self.spec, cleanup.recent_runs)

    @cached_property
    def _waiter(self) -> "polling.Waiter[RunT]":
        return polling.Waiter(self._api, self._cleanup.recent_runs.not_found_until)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    @_run_method
    def cancel(self, run_id: str | RunT) -> Coroutine[Any, Any, RunT]:
        """Cancel a run and return its new state.

        Idempotent: a run that has finished is returned unchanged, so read `status`. Once the API has accepted the
        cancel, an unexpected field of the response is logged and left at its default.

        `POST {path}/{id}/cancel`

        Args:
            run_id: Id of the run, or the run itself.

        Raises:
            InvalidRunIdError: The id cannot be a run id; nothing was sent.
            NotFoundError: The API does not know the run.
            APIError: Another response with a status other than 2xx.
            APIConnectionError: No response; the run may or may not be cancelled, so cancel it again.
            ResponseError: No status could be read, not even by a GET.
        """
        return self._api.cancel(self._id_of(run_id))

    def cancel_many(
        self,
        runs: Iterable[str | RunT] | AsyncIterable[str | RunT],
        /,
        *,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: "bulk.Order" = "completion",
        wait: bool = False,
        wait_timeout: float = 3600.0,
        outage_timeout: float = 60.0,
        dedupe: bool = False,
    ) -> "bulk.CancelJob[RunT]":
        """Cancel many runs: `await` for a `CancelReport`, or `async with` for each `CancelOutcome`.

        Each id that is taken from `runs` has exactly one outcome. Transient failures are retried by the client's
        `retry` policy. During an outage only probes are sent; after `outage_timeout` seconds the remaining ids are
        reported `unconfirmed` without being sent.

        `POST {path}/{id}/cancel`

        Args:
            runs: Ids or runs, from any iterable, also asynchronous or endless; memory does not grow with its
                length. An id that occurs twice is sent twice, without `dedupe`.
            concurrency: Number of workers, and so of cancels in flight; 64 by default.
            rate_limit: Limit to keep from the start, such as `RateLimit(300, per=60)`; by default it is learned.
            journal: File that records each outcome within milliseconds; with the same file again, ids with a final
                outcome are skipped and counted. One job at a time may use it.
            order: `completion` yields outcomes as they arrive, `input` in the order of the ids.
            wait: True follows runs with an accepted cancel until they are terminal.
            wait_timeout: Seconds for which one run is followed; an hour by default.
            outage_timeout: Seconds without a server after which the remaining ids are reported `unconfirmed`; 60 by
                default.
            dedupe: True sends the cancel of an id once, however often it occurs; costs 60 bytes of memory an id.

        Raises:
            InvalidRequestError: An argument is not valid.
            ConfigurationError: An option is not valid.
            JournalError: From the job: outcomes can no longer be recorded.
            ClientStateError: From the job: the client is closed.
        """
        options = bulk.CancelOptions(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            wait=wait,
            wait_timeout=wait_timeout,
            outage_timeout=outage_timeout,
            dedupe=dedupe,
        )
        source = bulk.IdSource(runs, self._run_id_of, kind=self._api.kind, dedupe=dedupe)
        return bulk.CancelJob(source, (self._cancel_target,), options)

    @_run_method
    def get(self, run_id: str | RunT, *, include_output: bool = True) -> Coroutine[Any, Any, RunT]:
        """Return the current state of a run.

        `GET {path}/{id}`

        Args:
            run_id: Id of the run, or the run itself.
            include_output: False is a cheap read of the status, without the output; ignored if the kind has none.

        Raises:
            InvalidRunIdError: The id cannot be a run id; nothing was sent.
            NotFoundError: The API does not know the run.
            APIError: Another response with a status other than 2xx.
            APIConnectionError: No response.
            ResponseError: The body cannot be read; `path` is the place in it.
        """
        return self._api.get(self._id_of(run_id), include_output=include_output)

    @_run_method
    def wait(
        self,
        run_id: str | RunT,
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: "polling.StatusCallback[RunT] | None" = None,
    ) -> Coroutine[Any, Any, RunT]:
        """Wait until a run is terminal, whatever its status, and return it with its output.

        From eight on, the waits of one client share their polls: one list request serves all.

        `GET {path}/{id}`, `GET {path}`

        Args:
            run_id: Id of the run, or the run itself.
            timeout: Seconds, an hour by default; None for no limit.
            poll_interval: Seconds between polls; by default from 0.5 growing to 10, or what the server asks for.
            on_status: Called with the run whenever its status has changed.

        Raises:
            WaitTimeoutError: The run, as last seen, did not finish in time, nor by a last poll after it.
            NotFoundError: The API does not know the run.
            APIError: Another 4xx; no other failure of a poll ends a wait.
            ResponseError: The response stayed unreadable for several polls.
        """
        id_ = self._id_of(run_id)
        return self._waiter.wait(id_, timeout=timeout, poll_interval=poll_interval, on_status=on_status)

    def wait_many(
        self,
        runs: Iterable[str | RunT],
        /,
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: "polling.StatusCallback[RunT] | None" = None,
    ) -> "polling.WaitIterator[RunT]":
        """Yield runs as they finish, each id once: `async for run in client.splits.wait_many(ids)`.

        Leaving the loop early leaves nothing to clean up.

        `GET {path}/{id}`, `GET {path}`

        Args:
            runs: Ids or runs.
            timeout: Seconds for all of them, from the first step; an hour by default, None for no limit.
            poll_interval: As in `wait`.
            on_status: As in `wait`.

        Raises:
            ExceptionGroup: After the last run: what `wait` raises, for each run that failed.
        """
        if isinstance(runs, str | Run):
            reject(f"runs must be several ids or runs, not a single one: {runs!r:.200}")
        ids = [self._id_of(run_id) for run_id in runs]
        return self._waiter.wait_many(ids, timeout=timeout, poll_interval=poll_interval, on_status=on_status)

    def attach(self, run_id: str | RunT) -> RunScope[RunT]:
        """Tie an existing run to a block of code, as `running` does with a new one; entering sends nothing.

        Args:
            run_id: Id of the run, or the run itself.

        Raises:
            InvalidRunIdError: The id cannot be a run id.
        """
        run = run_id if isinstance(run_id, self.run_type) else None
        run_id = self._id_of(run_id)
        run_path(self.path, run_id)
        handle = RunHandle(self._api, self._waiter, run_id, run)
        return RunScope(self._api, self._waiter, self._cleanup, handle)

    @property
    def _cancel_target(self) -> "bulk.CancelTarget[RunT]":
        return bulk.CancelTarget(self._api.kind, self._api, self._waiter)

    def _run_id_of(self, run: str | RunT) -> tuple[str, str]:
        if isinstance(run, str):
            return self._api.kind, run
        run_id = self._id_of(run)
        if not isinstance(run_id, str):
            run_path(self.path, run_id)
        return self._api.kind, run_id

    def _cancel_matching(
        self, matching: "bulk.MatchingOptions", *, status: str | None, **filters: Any
    ) -> "bulk.CancelJob[RunT]":
        options = bulk.CancelOptions(**matching)
        scan = self._scan(options, status=status, **filters)
        return bulk.CancelJob(bulk.IdSource(scan, self._run_id_of), (self._cancel_target,), options)

    def _scan(
        self, options: "bulk.CancelOptions", *, status: str | None = None, **filters: Any
    ) -> "bulk.RunScan[RunT]":
        # In the order of progress: a run that advances while one list is walked is found in a later one.
        lists = bulk.scan_queries(
            self.spec.active_statuses if status is None else (status,), **self._list_filters(filters)
        )
        return bulk.RunScan(
            self._api.fetch_page, lists, outage_timeout=options.outage_timeout, single_pass=options.dry_run
        )

    def _list(self, **filters: Any) -> RunPager[RunT]:
        return RunPager(self._api.fetch_page, list_query(**self._list_filters(filters)), self.path)

    def _list_filters(self, filters: dict[str, Any]) -> dict[str, Any]:
        return with_day_bounds(filters) if self.spec.list_needs_datetimes else filters

    def _process_many(
        self, items: DocumentItems, running: Callable[..., RunScope[RunT]], arguments: Mapping[str, object]
    ) -> "process.ProcessJob[RunT]":
        names = process.ProcessingOptions.__annotations__
        options: dict[str, Any] = {name: value for name, value in arguments.items() if name in names}
        shared = {name: value for name, value in arguments.items() if name not in names}
        source = process.DocumentSource(items, running, shared)
        target = process.ProcessTarget(self._api, self._waiter, self._cleanup, running)
        return process.ProcessJob(source, target, process.ProcessOptions(**options))

    async def _create(
        self,
        fields: Mapping[str, Any],
        key: str | None,
        extra_body: Mapping[str, Any] | None,
        on_upload: "UploadCallback | None" = None,
    ) -> RunT:
        spec = self._creation(fields, key, extra_body, on_upload)
        run = await self._api.create(spec.fields, spec.key, spec.on_upload)
        reject_cancelled(run, key)
        return run

    def _running(
        self,
        fields: Mapping[str, Any],
        key: str | None,
        extra_body: Mapping[str, Any] | None,
        on_upload: "UploadCallback | None" = None,
    ) -> RunScope[RunT]:
        return RunScope(self._api, self._waiter, self._cleanup, self._creation(fields, key, extra_body, on_upload))

    def _creation(
        self,
        fields: Mapping[str, Any],
        key: str | None,
        extra_body: Mapping[str, Any] | None,
        on_upload: "UploadCallback | None" = None,
    ) -> CreateSpec:
        return CreateSpec(
            with_extra_body(fields, extra_body), idempotency_key(key), key, optional_callable("on_upload", on_upload)
        )

    def _add_hint(self, error: NotFoundError) -> None:
        prefix, _, _ = (run_id_of(error.url) or "").partition("_")
        kind = self._kind_of_prefix.get(prefix, self._api.kind)
        if kind != self._api.kind:
            error.message += f"; its prefix is that of client.{kind}"

    def _id_of(self, run: str | RunT) -> str:
        # Most are ids, and isinstance() against an abstract class is slow.
        if isinstance(run, str) or not isinstance(run, Run):
            return run
        if not isinstance(run, self.run_type):
            msg = f"a {type(run).__name__} is not a run of {self.path}"
            raise InvalidRunIdError(msg)
        return run.id


class DeletableRuns(RunResource[RunT]):
    """Base of the kinds whose runs can be deleted."""

    @_run_method
    def delete(self, run_id: str | RunT) -> Coroutine[Any, Any, None]:
        """Delete a run; cancel an active one first.

        A retry that finds no run after an attempt in doubt counts as success.

        `DELETE {path}/{id}`

        Args:
            run_id: Id of the run, or the run itself.

        Raises:
            InvalidRunIdError: The id cannot be a run id; nothing was sent.
            NotFoundError: The API does not know the run.
            APIError: Another response with a status other than 2xx.
            APIConnectionError: No response.
        """
        return self._api.delete(self._id_of(run_id))


class ListedRuns(RunResource[RunT]):
    """Base of the kinds whose runs can be listed, with the filters that most lists have."""

    def list(
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[RunT]:
        """Return the runs that match all filters; iterate with `async for`, which requests page by page.

        A row that does not fit its model has defaults and is logged; a row without an id is left out.

        `GET {path}`

        Args:
            status: Only runs with this status.
            filename: Only runs whose document name starts with this, ignoring case.
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            order: `desc` (newest first) or `asc`.
            limit: Runs in a page, 1 to 100; not a limit on the total.
            before: Id to continue from, backward.
            after: Id to continue from, forward.

        Raises:
            InvalidRequestError: A filter is not valid.
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

    def cancel_matching(
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: "bulk.Order" = "completion",
        dry_run: bool = False,
        wait: bool = False,
        wait_timeout: float = 3600.0,
        outage_timeout: float = 60.0,
    ) -> "bulk.CancelJob[RunT]":
        """Cancel all runs that match; by default those that are active.

        Walks the lists, oldest runs first, until a walk finds no new run; each run is cancelled once. If a list fails
        for `outage_timeout` seconds, the job ends. See `cancel_many` for the job.

        `GET {path}`, `POST {path}/{id}/cancel`

        Args:
            status: Only runs with this status.
            filename: Only runs whose document name starts with this, ignoring case.
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            concurrency: Number of workers, and so of cancels in flight; 64 by default.
            rate_limit: Limit to keep from the start, such as `RateLimit(300, per=60)`; by default it is learned.
            journal: File that records each outcome within milliseconds; with the same file again, ids with a final
                outcome are skipped and counted. One job at a time may use it.
            order: `completion` yields outcomes as they arrive, `input` in the order of the ids.
            dry_run: True sends lists only, once, and reports each run as `planned`.
            wait: True follows runs with an accepted cancel until they are terminal.
            wait_timeout: Seconds for which one run is followed; an hour by default.
            outage_timeout: Seconds without a server after which the remaining ids are reported `unconfirmed`; 60 by
                default.
        """
        options: bulk.MatchingOptions = {
            "concurrency": concurrency,
            "rate_limit": rate_limit,
            "journal": journal,
            "order": order,
            "dry_run": dry_run,
            "wait": wait,
            "wait_timeout": wait_timeout,
            "outage_timeout": outage_timeout,
        }
        return self._cancel_matching(options, status=status, filename=filename, from_date=from_date, to_date=to_date)
