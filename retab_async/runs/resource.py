"""The verbs that runs of all kinds have, written once."""

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from retab_async.arguments import idempotency_key, refuse
from retab_async.bulk import CancelJob, Kind, Matching, Order, Terms, lists_of
from retab_async.collection import Collection
from retab_async.dialects import Dialect
from retab_async.errors import InvalidRunIdError
from retab_async.janitor import Janitor
from retab_async.listing import Listed, list_query, with_moments
from retab_async.models import Run
from retab_async.pacing import RateLimit
from retab_async.protocol import Trail, run_path
from retab_async.reading import Reader
from retab_async.scope import Creation, RunHandle, RunScope
from retab_async.transport import Transport
from retab_async.waiting import StatusCallback, Waits, Watch

RunT = TypeVar("RunT", bound=Run)


class RunResource(Generic[RunT]):
    """The runs of one kind; a kind declares its `path`, `run_type` and `dialect`, and brings its models.

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
    dialect: Dialect = Dialect()

    def __init__(self, transport: Transport, janitor: Janitor) -> None:
        self._janitor = janitor
        reader = Reader(self.path, self.run_type, self.dialect)
        self._collection = Collection(transport, self.path, reader, self.dialect)
        self._watch = Watch(self._collection)

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
        return await self._collection.cancel(self._id_of(run_id))

    def cancel_many(  # noqa: PLR0913 - how to go about it, all of it optional
        self,
        ids: Iterable[str | RunT] | AsyncIterable[str | RunT],
        *,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: Order = "completion",
        wait: bool = False,
        patience: float = 60.0,
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
        `patience` seconds the remaining ids are reported `unconfirmed`, unsent; of an iterable that has no length as
        many as come within a second, and the report's `ended_early` says if there were more. So they are, at once,
        where a `Retry-After` asks for more than that, or in a 429 for more than five minutes too.

        Raises `InvalidRequestError` and `ConfigurationError` at once; the job, what the iterable raises,
        `JournalError` where outcomes cannot be taken down any more, and `ClientStateError`. One id's failure is its
        outcome.

        `POST {path}/{id}/cancel`
        """
        terms = Terms.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            wait=wait,
            patience=patience,
        )
        return CancelJob(ids, (self._kind,), self._named, terms)

    async def get(self, run_id: str | RunT, *, include_output: bool = True) -> RunT:
        """Return a run as it is now; with `include_output=False` a cheap read, of the status above all.

        Where the API has no such read, for schema generations and the runs of workflows, it is the same as without.

        Raises `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s,
        `APIConnectionError`, and `ResponseError` for a body of another shape, with the place in its `path`.

        `GET {path}/{id}`
        """
        run, _ = await self._collection.look(self._id_of(run_id), include_output=include_output)
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
        return await self._watch.wait(
            self._id_of(run_id), timeout=timeout, poll_interval=poll_interval, on_status=on_status
        )

    def wait_many(
        self,
        run_ids: Iterable[str | RunT],
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> Waits[RunT]:
        """Return the runs as they end, each id once: `async for run in client.splits.wait_many(ids)`.

        `timeout` is for all of them, from the first step on; the rest as in `wait`. What failed is raised after the
        last one, as an `ExceptionGroup` of what `wait` raises. Leaving the loop early leaves nothing behind.

        `GET {path}/{id}`, `GET {path}`
        """
        if isinstance(run_ids, str | Run):
            refuse(f"run_ids must be several ids or runs, not the one {run_ids!r:.200}")
        ids = [self._id_of(run_id) for run_id in run_ids]
        return self._watch.wait_many(ids, timeout=timeout, poll_interval=poll_interval, on_status=on_status)

    def attach(self, run_id: str | RunT) -> RunScope[RunT]:
        """Tie a run that exists to a block, as `running` does with one that it creates; entering sends nothing."""
        told = run_id if isinstance(run_id, self.run_type) else None
        run_id = self._id_of(run_id)
        run_path(self.path, run_id)
        handle = RunHandle(self._collection, self._watch, run_id, told)
        return RunScope(self._collection, self._watch, self._janitor, handle)

    @property
    def _kind(self) -> Kind[RunT]:
        return Kind(self._collection.name, self._collection, self._watch)

    def _named(self, run: str | RunT) -> tuple[str, str]:
        run_id = run if isinstance(run, str) else self._id_of(run)
        if not isinstance(run_id, str):
            run_path(self.path, run_id)
        return self._collection.name, run_id

    def _cancel_matching(self, terms: Terms, *, status: str | None, **filters: Any) -> CancelJob[RunT]:
        # In the order of life: a run that moves on while one list is walked is met in a later one.
        lists = lists_of(self.dialect.unfinished if status is None else (status,), **self._in_dialect(filters))
        matching = Matching(self._collection.page, lists, patience=terms.patience, passes_once=terms.is_dry)
        return CancelJob(matching, (self._kind,), self._named, terms)

    def _list(self, **filters: Any) -> Listed[RunT]:
        return Listed(self._collection.page, list_query(**self._in_dialect(filters)))

    def _in_dialect(self, filters: dict[str, Any]) -> dict[str, Any]:
        return with_moments(filters) if self.dialect.lists_by_moments else filters

    async def _create(self, fields: Mapping[str, Any], key: str | None) -> RunT:
        async with self._collection.to_create(fields, idempotency_key(key)) as request:
            return await self._collection.create(request, Trail())

    def _running(self, fields: Mapping[str, Any], key: str | None) -> RunScope[RunT]:
        return RunScope(self._collection, self._watch, self._janitor, self._creation(fields, key))

    def _creation(self, fields: Mapping[str, Any], key: str | None) -> Creation:
        return Creation(fields, idempotency_key(key))

    def _id_of(self, run: str | RunT) -> str:
        # Most are ids, and to ask a string whether it is a Run takes long.
        if isinstance(run, str) or not isinstance(run, Run):
            return run
        if not isinstance(run, self.run_type):
            msg = f"a {type(run).__name__} is not a run of {self.path}"
            raise InvalidRunIdError(msg)
        return run.id
