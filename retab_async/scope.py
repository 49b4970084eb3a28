"""Runs tied to a block of code: left early, the run is cancelled on the server."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from retab_async.api.run_api import RunApi
from retab_async.cleanup import CleanupQueue, PendingCancel
from retab_async.errors import RunCancelledError, RunFailedError
from retab_async.models import Run, RunStatus
from retab_async.polling import StatusCallback, Waiter
from retab_async.protocol import DeliveryState, Request

RunT = TypeVar("RunT", bound=Run)

# Seconds for which leaving a block normally may wait; of these, its own cancel takes no more than the janitor's grace.
_EXIT_TIMEOUT = 15.0


class CreateSpec(NamedTuple):
    """A run to create: the fields of the request, its documents among them, and the key it is created under."""

    fields: Mapping[str, Any]
    key: str


class _PendingCreate(NamedTuple):
    request: Request
    trail: DeliveryState
    opened: AsyncExitStack


class RunHandle(Generic[RunT]):
    """A run that is tied to a block: `id`, and `run` as it was last seen, None before it was."""

    def __init__(self, api: RunApi[RunT], waiter: Waiter[RunT], run_id: str, run: RunT | None = None) -> None:
        self.id = run_id
        self.run = run
        self._api = api
        self._waiter = waiter
        self._is_detached = False

    @property
    def needs_cancel(self) -> bool:
        """Whether leaving the block would have to cancel the run."""
        return not (self._is_detached or (self.run is not None and self.run.status.is_terminal))

    async def get(self, *, include_output: bool = True) -> RunT:
        """Return the run as it is now; see the `get` of its collection."""
        self.run, _ = await self._api.fetch(self.id, include_output=include_output)
        return self.run

    async def result(
        self,
        *,
        timeout: float | None = 3600.0,  # noqa: ASYNC109 - it tells the last run seen
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> RunT:
        """Wait until the run is over and return it completed.

        `timeout`, `poll_interval` and `on_status` as in the `wait` of its collection. Raises `RunFailedError` or
        `RunCancelledError` with the run, and what `wait` raises, `WaitTimeoutError` above all.
        """

        def note(run: RunT) -> None:
            self.run = run
            if on_status is not None:
                on_status(run)

        run = await self._waiter.wait(self.id, timeout=timeout, poll_interval=poll_interval, on_status=note)
        self.run = run
        if run.status is RunStatus.COMPLETED:
            return run
        raise (RunCancelledError if run.status is RunStatus.CANCELLED else RunFailedError)(run=run)

    async def cancel(self) -> RunT:
        """Cancel the run now, and return it as it then is; once that is accepted, leaving the block sends nothing."""
        self.run = await self._api.cancel(self.id)
        self._is_detached = True
        return self.run

    def detach(self) -> None:
        """Let the run go on after the block."""
        self._is_detached = True


class RunScope(Generic[RunT]):
    """An `async with` that gives a `RunHandle`, and cancels its run when it is left before the run is over.

    What is certain when the block has been left, and the run was neither over nor detached:

    - normally, or by an `Exception`: the run is cancelled or over, unless the API could not be had within 5 seconds (or
      so many blocks were left at once that its turn did not come within 15);
    - by the task's cancellation, which is also how `asyncio.timeout`, a `TaskGroup` and anyio's scopes end a block, or
      by whatever else is no `Exception`: that is not held up. The cancel is owed, and the client's janitor sends it
      beside the code that goes on; `aclose()` waits for it, 10 seconds at the most;
    - while the create was under way, by cancellation or an error that leaves it in doubt: the janitor repeats the
      create under its key to learn the id, then cancels the run. A file object of yours that has no file of the system
      behind it must stay open until then;
    - the client being closed while the block goes on cancels the run as well; afterwards nothing can be sent any more.

    What could not be confirmed is logged as an error, and returned by `aclose()`.
    """

    def __init__(
        self, api: RunApi[RunT], waiter: Waiter[RunT], cleanup: CleanupQueue, origin: CreateSpec | RunHandle[RunT]
    ) -> None:
        self._api = api
        self._waiter = waiter
        self._cleanup = cleanup
        self._origin: CreateSpec | RunHandle[RunT] | None = origin
        self._handle: RunHandle[RunT] | None = None
        self._pending_create: _PendingCreate | None = None

    async def __aenter__(self) -> RunHandle[RunT]:
        origin, self._origin = self._origin, None
        if origin is None:
            msg = "this scope has been entered before: it is for one `async with`"
            raise RuntimeError(msg)
        self._cleanup.open_scopes.add(self)
        if isinstance(origin, RunHandle):
            self._handle = origin
            return origin
        is_entered = False
        try:
            handle = await self._create(origin)
            is_entered = True
        finally:
            if not is_entered:
                self._leave()
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        debt = self._leave()
        if debt is not None and _may_wait(kind):
            try:
                async with asyncio.timeout(_EXIT_TIMEOUT):
                    await debt.done.wait()
            except TimeoutError:
                # The janitor goes on with it, and says so if it comes to nothing.
                pass

    def take_pending_cancel(self) -> PendingCancel | None:
        """Give away what is owed if the block is left now; from then on it owes nothing."""
        if self._handle is not None:
            is_owed = self._handle.needs_cancel
            self._handle.detach()
            return PendingCancel(api=self._api, run_id=self._handle.id) if is_owed else None
        under_way, self._pending_create = self._pending_create, None
        if under_way is None or not under_way.trail.may_have_taken_effect:
            return None
        return PendingCancel(api=self._api, create=under_way.request, opened=under_way.opened.pop_all())

    async def _create(self, origin: CreateSpec) -> RunHandle[RunT]:
        async with AsyncExitStack() as opened:
            request = await opened.enter_async_context(self._api.prepare_create(origin.fields, origin.key))
            self._pending_create = _PendingCreate(request, DeliveryState(), opened)
            try:
                run = await self._api.create(request, self._pending_create.trail)
                handle = RunHandle(self._api, self._waiter, run.id, run)
                if self._pending_create is None:
                    # Closing the client has taken it over.
                    handle.detach()
                self._handle = handle
            finally:
                if self._handle is None:
                    self._submit_cancel()
        return handle

    def _leave(self) -> PendingCancel | None:
        self._cleanup.open_scopes.discard(self)
        return self._submit_cancel()

    def _submit_cancel(self) -> PendingCancel | None:
        debt = self.take_pending_cancel()
        if debt is not None:
            self._cleanup.submit(debt)
        return debt


def _may_wait(kind: type[BaseException] | None) -> bool:
    # A task that is being cancelled is not to be held up, whatever it made of that, and under anyio could not wait.
    task = asyncio.current_task()
    return (kind is None or issubclass(kind, Exception)) and not (task is not None and task.cancelling())
