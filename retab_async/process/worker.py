"""Worker of a process job: take a document, create its run, wait for its end, report the result, repeat."""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, cast

import attrs

from retab_async.api.run_api import RunApi
from retab_async.bulk import CircuitBreaker, CircuitState, ItemSource, WorkerPool
from retab_async.cleanup import CleanupQueue, PendingCancel
from retab_async.errors import (
    APIError,
    ClientStateError,
    ConflictError,
    NotFoundError,
    RetabError,
    RunCancelledError,
    RunError,
    UnknownRunError,
)
from retab_async.journal import Settled
from retab_async.models import Run, RunStatus, UploadedFile
from retab_async.polling import Waiter
from retab_async.process.guard import OutageGuard
from retab_async.process.reporter import ProcessReporter
from retab_async.process.results import ProcessDisposition
from retab_async.process.source import ProcessItem
from retab_async.protocol import run_path
from retab_async.scope import RunHandle, RunScope

RunT = TypeVar("RunT", bound=Run)

# Earlier runs of one document that were cancelled, after which its next one is not created any more.
_MAX_GENERATIONS = 100
# Answers to a create that names an upload which the API no longer has.
_UPLOAD_IS_GONE = frozenset({404, 410, 422})

_logger = logging.getLogger("retab_async")


class ProcessTarget(NamedTuple, Generic[RunT]):
    """The runs of one kind: how they are created, waited for and cleaned up.

    Attributes:
        api: Sends the requests of the kind.
        waiter: Waits for its runs.
        cleanup: Cancels the runs that are left early.
        running: Checks the arguments of a run.
    """

    api: RunApi[RunT]
    waiter: Waiter[RunT]
    cleanup: CleanupQueue
    running: Callable[..., RunScope[RunT]]


@attrs.frozen(kw_only=True, eq=False)
class ProcessWorker(Generic[RunT]):
    """The loop that all workers of a job run; each holds one document at a time, which bounds the memory.

    Attributes:
        source: The documents.
        target: How the runs of the kind are created and waited for.
        api: The requests of the kind, sent through the guard.
        guard: Holds back the requests during an outage.
        breaker: The circuit breaker of the job.
        reporter: Records the results.
        pool: The pool of the workers.
        max_workers: Number of workers up to which the pool grows.
        wait_timeout: Seconds for which one run is waited for.
        includes: Tells which runs of settled documents are read again; None for none.
        pending: The cancels of the runs that were left early.
    """

    source: ItemSource[ProcessItem]
    target: ProcessTarget[RunT]
    api: RunApi[RunT]
    guard: OutageGuard
    breaker: CircuitBreaker
    reporter: ProcessReporter[RunT]
    pool: WorkerPool
    max_workers: int
    wait_timeout: float
    includes: Callable[[str], bool] | None
    pending: set[PendingCancel]

    async def run(self) -> None:
        """Process the documents of the source until it is closed."""
        while not self.source.is_closed:
            await self.reporter.reserve()
            item = await self.source.take_async() if self.source.is_async else self.source.take()
            if item is None:
                self.reporter.cancel_reservation()
            else:
                # A worker that waits for the source is enough.
                if len(self.pool.tasks) < self.max_workers and not self.source.has_takers:
                    self.pool.spawn(self.run())
                await self._process(item)
            # Documents that need no I/O must not starve the event loop.
            await asyncio.sleep(0)

    async def _process(self, item: ProcessItem) -> None:
        run: RunT | None = None
        failure: Exception | None = None
        try:
            seconds = self.api.transport.policy.deadline
            await item.prepare(self.target.running, self.target.api.kind, max_seconds=seconds)
            settled = self.reporter.earlier_outcome(item)
            if settled is not None:
                await self._process_settled(item, settled)
                return
            run = await self._run_to_end(item)
        except Exception as error:  # noqa: BLE001 - the failure of one document is its result
            failure = error
        if failure is not None:
            run = self._handle_failure(item, failure)
        self.reporter.report(item, run, failure)

    async def _process_settled(self, item: ProcessItem, settled: Settled) -> None:
        is_failure = ProcessDisposition(settled.disposition).is_failure
        is_wanted = self.includes is not None and bool(settled.run_id) and self.includes(settled.run_id)
        if not is_wanted and not is_failure:
            self.reporter.skip(settled)
            return
        run: RunT | None = None
        failure: Exception | None = None
        try:
            run = await self.api.get(settled.run_id, include_output=True) if is_wanted else None
        except Exception as error:  # noqa: BLE001 - as that of any document
            self._handle_failure(item, error)
            # The reason of a settled failure is known without its run.
            failure = None if is_failure else error
        self.reporter.report_settled(item, settled, run, failure)

    def _handle_failure(self, item: ProcessItem, error: Exception) -> RunT | None:
        if isinstance(error, ClientStateError):
            self.source.fail(error)
        elif not isinstance(error, RetabError):
            _logger.error("%s: unexpected error: %r", item.name or "document", error, exc_info=error)
        if self.breaker.state is CircuitState.GIVEN_UP:
            self.source.drain()
        return cast("RunT | None", error.run) if isinstance(error, RunError) else None

    async def _run_to_end(self, item: ProcessItem) -> RunT:
        recorded = item.file = self.reporter.uploaded_file(item)
        earlier = self.reporter.unsettled_runs(item)
        run = await self._continue(item, earlier[-1]) if earlier else None
        generation = 0
        while run is None:
            try:
                run = await self._create(item, generation)
            except ConflictError as error:
                # The key was used with another body: that of the same document, uploaded to a URL that is not recorded.
                if generation >= len(earlier):
                    raise UnknownRunError(kind=self.target.api.kind) from error
            except APIError as error:
                # Not a poll of its run; and only once, as the answer may be about the arguments.
                if recorded is None or error.method != "POST" or error.status_code not in _UPLOAD_IS_GONE:
                    raise
                recorded = item.file = None
                continue
            generation += 1
        return run

    async def _create(self, item: ProcessItem, generation: int) -> RunT | None:
        async def record(file: UploadedFile) -> None:
            item.file = file
            await self.reporter.record_upload(item, file)

        spec = item.create_spec(generation, record)
        scope = RunScope(self.api, self.target.waiter, self.target.cleanup, spec)
        return await self._follow(item, scope, may_be_old=generation < _MAX_GENERATIONS)

    async def _continue(self, item: ProcessItem, run_id: str) -> RunT | None:
        # None if the run is gone, or was cancelled with the job that created it.
        handle = RunHandle(self.api, self.target.waiter, run_id)
        try:
            return await self._follow(item, RunScope(self.api, self.target.waiter, self.target.cleanup, handle))
        except NotFoundError:
            return None

    async def _follow(self, item: ProcessItem, scope: RunScope[RunT], *, may_be_old: bool = True) -> RunT | None:
        # None if the run was cancelled before it was first seen: an earlier job under this key was left early.
        seen: list[RunStatus] = []
        try:
            async with scope as handle:
                self.reporter.start(item, handle.id)
                self.guard.known_run = run_path(self.api.path, handle.id)
                try:
                    return await handle.result(timeout=self.wait_timeout, on_status=lambda run: seen.append(run.status))
                finally:
                    self.reporter.end()
        except RunCancelledError:
            if not may_be_old or seen != [RunStatus.CANCELLED]:
                raise
            return None
        finally:
            pending = scope.pending_cancel
            if pending is not None and not pending.is_confirmed:
                self.pending.add(pending)
