"""Cleanup queue: cancels orphaned runs in the background, and reports those that could not be confirmed."""

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import attrs

from retab_async.api.run_api import RecentRuns, RunApi
from retab_async.errors import ConflictError, NotFoundError, ResponseError, RetabError
from retab_async.hooks import HookSet
from retab_async.protocol import DeliveryState, Request
from retab_async.retry import RetryPolicy, is_transient, retry_after_of
from retab_async.text import single_line
from retab_async.throttle import FifoSemaphore

# Requests of the cleanup that need no connection of the client's limit: calls may hold all of those for half an hour.
RESERVED = 16
# Seconds for the cancel of one run, and for one send of it.
GRACE = 5.0
_SEND_TIMEOUT = 2.5
_ONE_SEND = RetryPolicy(attempts=1, deadline=GRACE)
# Seconds, with jitter, before the second and before the third send.
_PAUSES = (0.25, 1.0)
# Seconds before a send after a 404 or 409: a new run may not be visible yet, its create may still be in progress.
_LONG_PAUSE = 1.0
# Seconds of a drain: at least, for each batch of pending cancels that can be sent at once, at most.
_DRAIN_MIN = 10.0
_DRAIN_PER_BATCH = 1.0
_DRAIN_MAX = 60.0
# Seconds for cancelled tasks to end.
_ENDING = 1.0
_MAX_REMEMBERED = 10_000

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class UnconfirmedCancel:
    """A run whose cancel, sent when its block or the client was left, could not be confirmed; it may still be running.

    Attributes:
        path: The route of its kind, such as `/v1/splits`.
        run_id: Its id; None if the response to its create was lost, so that it is unknown whether there is a run.
        idempotency_key: The key of the create whose response was lost.
        error: The last failure; None if there was no response in time, or nothing was sent.
    """

    path: str
    run_id: str | None = None
    idempotency_key: str | None = None
    error: Exception | None = None

    def __str__(self) -> str:
        name = single_line(self.run_id or "") or f"created under idempotency_key={self.idempotency_key!r}"
        return f"{self.path} {name} may still be running: {self._reason()}"

    def _reason(self) -> str:
        if self.error is None:
            return "the client was closed before it could be cancelled"
        # The text of an unexpected error is not ours, and could quote a header.
        return str(self.error) if isinstance(self.error, RetabError) else f"unexpected {type(self.error).__name__}"


@attrs.define(eq=False, kw_only=True)
class PendingCancel:
    """A cancel of one orphaned run, or of the run that a create may have made.

    Attributes:
        api: Sends the requests.
        run_id: The id of the run; empty until it is known.
        create: The request of the create, sent again under its key to learn the id.
        body: Keeps the body of the create readable.
        context: The context variables of the block that the run belonged to.
        error: The last failure.
        not_found_until: Until when 404s are outlasted, in `time.monotonic()`; set by the first one for a recent run.
        is_confirmed: Whether the run is known to be finished or absent.
        done: Set when the cancel is confirmed or given up.
    """

    api: RunApi[Any]
    run_id: str = ""
    create: Request | None = None
    body: AsyncExitStack = attrs.field(factory=AsyncExitStack)
    context: Context = attrs.field(factory=copy_context)
    error: Exception | None = None
    not_found_until: float = -math.inf
    is_confirmed: bool = False
    done: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self) -> None:
        """Cancel the run; if that cannot be confirmed in time, `error` is the last failure."""
        extra = self.create.extra_seconds if self.create else 0.0
        try:
            async with self.body, asyncio.timeout(GRACE + extra) as timer:
                await self._cancel(timer)
                self.is_confirmed = True
        except RetabError as error:
            self.error = error
        except TimeoutError:
            # The last failure has been recorded.
            pass

    async def _cancel(self, timer: asyncio.Timeout) -> None:
        if self.create is not None:
            run = await self._retry(partial(self.api.send_create, self.create, DeliveryState(in_doubt=True)))
            self.run_id = run.id
            if run.status.is_terminal:
                return
        is_recent = self.api.recent_runs.not_found_until(self.run_id) > time.monotonic()
        while True:
            try:
                await self._retry(partial(self.api.cancel, self.run_id))
            except NotFoundError:
                # Forgotten once it was deleted.
                until = self.api.recent_runs.not_found_until(self.run_id)
                if not is_recent or until == -math.inf:
                    break
                if until < time.monotonic():
                    raise
                self.not_found_until = until
                timer.reschedule(asyncio.get_running_loop().time() + GRACE)
                await asyncio.sleep(_LONG_PAUSE)
            else:
                return
        _logger.info("%s %s: nothing to cancel, the run does not exist", self.api.path, single_line(self.run_id))

    async def _retry(self, send: Callable[[], Awaitable[Any]]) -> Any:
        for pause in _PAUSES:
            try:
                return await send()
            except (NotFoundError, ConflictError) as error:
                self.error = error
                await asyncio.sleep(max(pause, _LONG_PAUSE, retry_after_of(error)))
            except RetabError as error:
                # An unreadable response is no rejection: it may be a proxy's page, or damaged on its way.
                if not (is_transient(error) or isinstance(error, ResponseError)):
                    raise
                self.error = error
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause + retry_after_of(error))
        return await send()

    def unconfirmed(self) -> UnconfirmedCancel:
        """Return the report of a cancel that was not confirmed."""
        key = self.create.idempotency_key if self.create else None
        return UnconfirmedCancel(path=self.api.path, run_id=self.run_id or None, idempotency_key=key, error=self.error)


class CleanupSlots(FifoSemaphore):
    """Semaphore that takes the free slots of another one before its own, and is not held up by that one's waiters."""

    def __init__(self, count: int, lender: FifoSemaphore) -> None:
        super().__init__(count)
        self._lender = lender
        self._borrowed = 0

    def try_acquire(self, *, is_urgent: bool = False) -> bool:  # noqa: ARG002 - all requests of a cleanup are equal
        """Take a free slot; False if there is none."""
        if self._lender.try_acquire():
            self._borrowed += 1
            return True
        return super().try_acquire()

    async def acquire(self, seconds: float | None, *, is_urgent: bool = False) -> None:  # noqa: ARG002 - as above
        """Wait for a slot of its own; raise `TimeoutError` after `seconds`, if given."""
        await super().acquire(seconds)

    def release(self, *, is_urgent: bool = False) -> None:  # noqa: ARG002 - as above
        """Hand the slot to the first waiter, or give it back, a borrowed one first."""
        if self._borrowed and not self.waiting:
            self._borrowed -= 1
            self._lender.release()
        else:
            super().release()


class CleanupQueue:
    """Queue of pending cancels, each sent in a task of its own and in the context of its block.

    The number of tasks is limited by the connections of the client, and the `RESERVED` ones. One cancel's failure,
    whatever its type, leaves the others alone.

    Args:
        slots: The slots for requests of the client, of which the free ones are used.
        max_connections: Their number.
        hooks: Notified of each cancel that could not be confirmed.

    Attributes:
        open_scopes: For each open scope the function that gives up its pending cancel, called by `drain`.
        recent_runs: The runs that the client created, whose cancels outlast a 404 for a while.
    """

    def __init__(self, slots: FifoSemaphore, max_connections: int, hooks: HookSet) -> None:
        self._hooks = hooks
        self.open_scopes: set[Callable[[], PendingCancel | None]] = set()
        self.recent_runs: RecentRuns = RecentRuns()
        self._slots = CleanupSlots(RESERVED, slots)
        self._max_tasks = RESERVED + max_connections
        self._waiting: deque[PendingCancel] = deque()
        self._tasks: dict[asyncio.Task[None], PendingCancel] = {}
        self._idle = asyncio.Event()
        self._unconfirmed: deque[UnconfirmedCancel] = deque(maxlen=_MAX_REMEMBERED)
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether no cancel is pending and no scope is open."""
        return not self._tasks and not self.open_scopes

    @property
    def unconfirmed(self) -> tuple[UnconfirmedCancel, ...]:
        """The cancels that could not be confirmed so far, the last 10,000 of them."""
        return tuple(self._unconfirmed)

    def submit(self, pending: PendingCancel) -> None:
        """Add a pending cancel without waiting: the caller's task may be cancelled already."""
        if self._is_closed:
            self._report(pending)
            return
        transport = pending.api.transport.with_timeout(timeout=_SEND_TIMEOUT, policy=_ONE_SEND, slots=self._slots)
        pending.api = pending.api.with_transport(transport)
        self._waiting.append(pending)
        self._start_tasks()

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - what is left is reported, not raised
        """Wait for all pending cancels, those of open scopes included, give up the rest, and close the queue.

        Args:
            timeout: Seconds; None for 10 and one more for each batch that can be sent at once, 60 at most, or longer
                until a minute after the create of a run that the API answers with a 404.
        """
        start = time.monotonic()
        try:
            self._take_from_scopes()
            deadline = start + (self._drain_seconds() if timeout is None else timeout)
            while self._tasks and (left := self._latest(deadline, timeout) - time.monotonic()) > 0:
                await self._wait_until_idle(left)
                self._take_from_scopes()
        finally:
            self._close()
        await self._wait_for_cancelled_tasks()

    async def _wait_for_cancelled_tasks(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ENDING)

    def _latest(self, deadline: float, timeout: float | None) -> float:
        # Without a timeout of the caller's, runs that are not visible yet are waited for.
        if timeout is not None:
            return deadline
        return max(deadline, *(each.not_found_until + GRACE for each in self._tasks.values()))

    def _drain_seconds(self) -> float:
        batches = math.ceil((len(self._tasks) + len(self._waiting)) / self._max_tasks)
        return min(_DRAIN_MIN + batches * _DRAIN_PER_BATCH, _DRAIN_MAX)

    async def _wait_until_idle(self, seconds: float) -> None:
        self._idle.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass

    def _take_from_scopes(self) -> None:
        for pending in filter(None, [take() for take in self.open_scopes]):
            self.submit(pending)

    def _start_tasks(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._tasks) < self._max_tasks:
            pending = self._waiting.popleft()
            task = loop.create_task(pending.run(), name="retab_async cleanup", context=pending.context)
            self._tasks[task] = pending
            task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        pending = self._tasks.pop(task)
        if task.cancelled():
            # By the end of its event loop, or by `drain`: no other task may be started.
            self._close()
        elif isinstance(error := task.exception(), Exception):
            pending.error = error
        if pending.is_confirmed:
            pending.done.set()
        else:
            self._report(pending)
        if not self._is_closed:
            self._start_tasks()
        if not self._tasks:
            self._idle.set()

    def _close(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        while self._waiting:
            self._report(self._waiting.popleft())

    def _report(self, pending: PendingCancel) -> None:
        unconfirmed = pending.unconfirmed()
        self._unconfirmed.append(unconfirmed)
        _logger.error("%s", unconfirmed)
        self._hooks.notify("on_unconfirmed", unconfirmed)
        pending.done.set()
