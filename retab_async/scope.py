"""Runs bound to a block of code: left early, the run is cancelled on the server."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from retab_async import polling
from retab_async.api.run_api import RunApi
from retab_async.cleanup import CleanupQueue, PendingCancel
from retab_async.errors import IdempotencyReplayError, RunCancelledError, RunFailedError
from retab_async.models import Run, RunStatus
from retab_async.protocol import DeliveryState, Request
from retab_async.text import single_line

if TYPE_CHECKING:
    from retab_async.documents import UploadCallback

RunT = TypeVar("RunT", bound=Run)

# Seconds for which leaving a block normally may wait for the cancel of its run.
_EXIT_TIMEOUT = 5.0

_logger = logging.getLogger("retab_async")


class CreateSpec(NamedTuple):
    """A run to create.

    Attributes:
        fields: The fields of the request, its documents among them.
        key: The idempotency key.
        callers_key: The same if the caller gave it, so that it may have been used before; else None.
        on_upload: Called while the request is sent.
    """

    fields: Mapping[str, Any]
    key: str
    callers_key: str | None
    on_upload: "UploadCallback | None" = None


class _PendingCreate(NamedTuple):
    request: Request
    delivery: DeliveryState
    body: AsyncExitStack


class RunHandle(Generic[RunT]):
    """Handle of a run that is bound to a block.

    Attributes:
        id: The id of the run.
        run: The run as it was last seen, None before it was.
    """

    def __init__(
        self,
        api: RunApi[RunT],
        waiter: "polling.Waiter[RunT]",
        run_id: str,
        run: RunT | None = None,
        key: str | None = None,
    ) -> None:
        self.id: str = run_id
        self.run: RunT | None = run
        self._api = api
        self._waiter = waiter
        self._callers_key = key
        self._is_detached = False

    @property
    def is_detached(self) -> bool:
        """Whether leaving the block leaves the run alone: it was detached, or its cancel has been accepted."""
        return self._is_detached

    async def get(self, *, include_output: bool = True) -> RunT:
        """Return the current state of the run; see `RunResource.get`.

        `GET {path}/{id}`
        """
        self.run = await self._api.get(self.id, include_output=include_output)
        return self.run

    async def result(
        self,
        *,
        timeout: float | None = 3600.0,  # noqa: ASYNC109 - its error has the last run seen
        poll_interval: float | None = None,
        on_status: "polling.StatusCallback[RunT] | None" = None,
    ) -> RunT:
        """Wait until the run is finished, and return it if it is completed.

        `GET {path}/{id}`, `GET {path}`

        Args:
            timeout: Seconds, None for no limit; one hour by default.
            poll_interval: Seconds between two polls; by default growing from 0.5 to 10.
            on_status: Called with the run each time its status has changed.

        Raises:
            RunFailedError: The run failed.
            RunCancelledError: The run was cancelled; an `IdempotencyReplayError` if the caller gave the key.
            WaitTimeoutError: The run was not finished in time.
            RetabError: See `RunResource.wait`.
        """

        def record(run: RunT) -> None:
            self.run = run
            if on_status is not None:
                on_status(run)

        run = await self._waiter.wait(self.id, timeout=timeout, poll_interval=poll_interval, on_status=record)
        self.run = run
        if run.status is RunStatus.COMPLETED:
            return run
        reject_cancelled(run, self._callers_key)
        raise (RunCancelledError if run.status is RunStatus.CANCELLED else RunFailedError)(run=run)

    async def cancel(self) -> RunT:
        """Cancel the run now and return it; leaving the block then sends nothing.

        `POST {path}/{id}/cancel`
        """
        self.run = await self._api.cancel(self.id)
        self._is_detached = True
        return self.run

    def detach(self) -> None:
        """Unbind the run from the block, so that it continues after it."""
        self._is_detached = True

    def __repr__(self) -> str:
        status = "not seen yet" if self.run is None else self.run.status
        detached = " detached" if self._is_detached else ""
        return f"<RunHandle {self._api.path} {single_line(f'{self.id} {status}')}{detached}>"


class RunScope(Generic[RunT]):
    """An `async with` that gives a `RunHandle`, and cancels its run when it is left before the run is finished.

    What is certain when the block has been left, and the run was neither finished nor detached:

    - normally, or by an `Exception`: the run is cancelled or finished, unless that took more than 5 seconds, because
      of an outage or a rate limit: then it goes on in the background, with a warning in the log;
    - by the task's cancellation, which is also how `asyncio.timeout`, a `TaskGroup` and anyio's scopes end a block, or
      by any other exception that is not an `Exception`: that is not delayed. The client's cleanup queue sends the
      cancel in the background, and repeats it for up to an hour while the API is not available or limits the rate;
      `aclose()` waits for it, 10 seconds and more if many are pending or a rate limit is given;
    - while the create was in progress, by cancellation or an error that leaves it in doubt: the cleanup queue repeats
      the create under its key to learn the id, then cancels the run. A file object of the caller's that has no file of
      the system behind it must stay open until then;
    - the client being closed before the block is left cancels the run as well; afterwards nothing can be sent.

    A cancel that could not be confirmed is logged as an error, and returned by `aclose()`.

    Attributes:
        pending_cancel: The cancel that leaving the block has required, None if it required none.
    """

    def __init__(
        self,
        api: RunApi[RunT],
        waiter: "polling.Waiter[RunT]",
        cleanup: CleanupQueue,
        origin: CreateSpec | RunHandle[RunT],
    ) -> None:
        self._api = api
        self._waiter = waiter
        self._cleanup = cleanup
        self._origin: CreateSpec | RunHandle[RunT] | None = origin
        self._handle: RunHandle[RunT] | None = None
        self._pending_create: _PendingCreate | None = None
        self._context = copy_context()
        self.pending_cancel: PendingCancel | None = None

    @property
    def spec(self) -> CreateSpec | None:
        """The run that entering the block creates; None for an existing run, and once the block was entered."""
        return self._origin if isinstance(self._origin, CreateSpec) else None

    async def __aenter__(self) -> RunHandle[RunT]:
        origin, self._origin = self._origin, None
        if origin is None:
            msg = "this scope has been entered before: it is for one `async with`"
            raise RuntimeError(msg)
        self._context = copy_context()
        self._cleanup.open_scopes.add(self._take_pending_cancel)
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
        pending = self._leave()
        if pending is not None and may_wait(kind):
            try:
                async with asyncio.timeout(_EXIT_TIMEOUT):
                    await pending.done.wait()
            except TimeoutError:
                # The cleanup queue goes on with it, and reports it if it fails.
                _logger.warning("%s: not confirmed within %g s, goes on in the background", pending, _EXIT_TIMEOUT)

    def __repr__(self) -> str:
        state = "not entered" if self._origin is not None else repr(self._handle or "entered")
        return f"<RunScope {self._api.path} {state}>"

    def _take_pending_cancel(self) -> PendingCancel | None:
        """Return the cancel that leaving the block now requires, once."""
        handle, create = self._handle, self._pending_create
        if handle is not None:
            is_finished = handle.run is not None and handle.run.status.is_terminal
            is_needed = not (handle.is_detached or is_finished)
            handle.detach()
            return PendingCancel(api=self._api, run_id=handle.id, context=self._context) if is_needed else None
        self._pending_create = None
        if create is None or not create.delivery.may_have_taken_effect:
            return None
        return PendingCancel(api=self._api, create=create.request, body=create.body.pop_all(), context=self._context)

    async def _create(self, origin: CreateSpec) -> RunHandle[RunT]:
        async with AsyncExitStack() as body:
            request = await body.enter_async_context(
                self._api.prepare_create(origin.fields, origin.key, origin.on_upload)
            )
            self._pending_create = _PendingCreate(request, DeliveryState(), body)
            try:
                run = await self._api.send_create(request, self._pending_create.delivery)
                reject_cancelled(run, origin.callers_key)
                handle = RunHandle(self._api, self._waiter, run.id, run, origin.callers_key)
                if self._pending_create is None:
                    # Closing the client has taken over the cancel.
                    handle.detach()
                self._handle = handle
            finally:
                if self._handle is None:
                    self._submit_cancel()
        return handle

    def _leave(self) -> PendingCancel | None:
        self._context = copy_context()
        self._cleanup.open_scopes.discard(self._take_pending_cancel)
        return self._submit_cancel()

    def _submit_cancel(self) -> PendingCancel | None:
        pending = self._take_pending_cancel()
        if pending is not None:
            self.pending_cancel = pending
            self._cleanup.submit(pending)
        return pending


def reject_cancelled(run: Run, callers_key: str | None) -> None:
    """Raise `IdempotencyReplayError` for a cancelled run under a key of the caller, which starts no other run."""
    if callers_key is not None and run.status is RunStatus.CANCELLED:
        error = IdempotencyReplayError(run=run)
        error.idempotency_key = callers_key
        raise error


def may_wait(kind: type[BaseException] | None) -> bool:
    """Tell whether a block that is left by this exception, or None, may wait for its cleanup."""
    # A task that is being cancelled must not be delayed, even if it raised something else; under anyio it cannot wait.
    task = asyncio.current_task()
    return (kind is None or issubclass(kind, Exception)) and not (task is not None and task.cancelling())
