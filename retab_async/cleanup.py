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
from typing import TYPE_CHECKING, Any

import attrs

from retab_async.api.run_api import RecentRuns, RunApi
from retab_async.errors import (
    APITimeoutError,
    ConflictError,
    NotFoundError,
    RequestError,
    ResponseError,
    RetabError,
)
from retab_async.protocol import DeliveryState, Request
from retab_async.retry import is_transient, retry_after_of
from retab_async.text import single_line
from retab_async.throttle import FifoSemaphore

if TYPE_CHECKING:
    from retab_async.hooks import HookSet

# Requests of the cleanup that need no connection of the client's limit: calls may hold all of those for half an hour.
RESERVED = 16
# Seconds for one send, and for the wait of one send for its turn of the throttle.
_SEND_TIMEOUT = 2.5
_TURN_TIMEOUT = 5.0
# Seconds after which a cancel is given up while the client lives.
_MAX_SECONDS = 3600.0
# Seconds before the second send; they double with each failure, up to the longer ones.
_FIRST_PAUSE = 0.25
_MAX_PAUSE = 30.0
# Seconds at most once the client is being closed.
_LAST_PAUSE = 1.0
# Seconds at most for which the server's `Retry-After` is waited for; then the throttle decides.
_MAX_RETRY_AFTER = 300.0
# Seconds before a send after a 404 or 409: a new run may not be visible yet, its create may still be in progress.
_LONG_PAUSE = 1.0
# What may be no rejection, and the sends that may be answered with it: an unreadable response may be a proxy's page, or
# damaged on its way.
_UNCLEAR = (NotFoundError, ConflictError, ResponseError)
_MAX_UNCLEAR = 3
# Seconds of a drain: at least, for each batch of pending cancels that can be sent at once, at most, and on top of the
# period of a given rate limit.
_DRAIN_MIN = 10.0
_DRAIN_PER_BATCH = 1.0
_DRAIN_MAX = 60.0
_DRAIN_BEYOND_PERIOD = 5.0
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
        credential_fingerprint: That of the client whose run it is, also of a copy made by `with_options`.
    """

    path: str
    run_id: str | None = None
    idempotency_key: str | None = None
    error: Exception | None = None
    credential_fingerprint: str = ""

    def __str__(self) -> str:
        name = _name_of(self.run_id, self.idempotency_key)
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

    async def run(self, turns: FifoSemaphore, closing: asyncio.Event) -> None:
        """Cancel the run; if that cannot be confirmed, `error` is the last failure.

        Args:
            turns: Limits the sends of the queue; held for one send at a time.
            closing: Set once the client is being closed.
        """
        extra = self.create.extra_seconds if self.create else 0.0
        try:
            async with self.body, asyncio.timeout(_MAX_SECONDS + extra):
                await self._cancel(partial(self._repeat, turns, closing))
                self.is_confirmed = True
        except RetabError as error:
            self.error = error
        except TimeoutError:
            # The last failure has been recorded.
            pass

    async def _cancel(self, repeat: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        if self.create is not None:
            delivery = DeliveryState()
            delivery.in_doubt = True
            run = await repeat(partial(self.api.send_create, self.create, delivery))
            self.run_id = run.id
            if run.status.is_terminal:
                return
        is_recent = self.api.recent_runs.not_found_until(self.run_id) > time.monotonic()
        while True:
            try:
                await repeat(partial(self.api.cancel, self.run_id))
            except NotFoundError:
                # Forgotten once it was deleted.
                until = self.api.recent_runs.not_found_until(self.run_id)
                if not is_recent or until == -math.inf:
                    break
                if until < time.monotonic():
                    raise
                self.not_found_until = until
                await asyncio.sleep(_LONG_PAUSE)
            else:
                return
        _logger.info("%s: nothing to cancel, the run does not exist", self)

    async def _repeat(self, turns: FifoSemaphore, closing: asyncio.Event, send: Callable[[], Awaitable[Any]]) -> Any:
        """Send until that succeeds or is rejected, in the queue's turns."""
        unclear = failures = 0
        while True:
            try:
                return await _in_turn(turns, send)
            except RequestError as error:
                # The wait for a turn is no failure.
                failures += not _is_unsent(error)
                unclear += isinstance(error, _UNCLEAR)
                is_open = isinstance(error, _UNCLEAR) and unclear < _MAX_UNCLEAR
                if not (is_open or is_transient(error) or _is_unsent(error)):
                    raise
                failure = error
            self._record(failure)
            await asyncio.sleep(self._asked_pause(failure))
            pause = _pause_after(max(failures, 1))
            await _pause(max(pause, _LONG_PAUSE) if isinstance(failure, _UNCLEAR) else pause, closing)

    def _asked_pause(self, failure: RequestError) -> float:
        if _is_unsent(failure):
            # Early enough to queue for the turn.
            return max(0.0, self.api.transport.closed_seconds() - _TURN_TIMEOUT / 2)
        return min(retry_after_of(failure), _MAX_RETRY_AFTER)

    def _record(self, failure: RequestError) -> None:
        if self.error is None:
            _logger.info("%s: not confirmed yet, goes on in the background: %s", self, failure)
        self.error = failure

    def unconfirmed(self) -> UnconfirmedCancel:
        """Return the report of a cancel that was not confirmed."""
        return UnconfirmedCancel(
            path=self.api.path,
            run_id=self.run_id or None,
            idempotency_key=self.create.idempotency_key if self.create else None,
            error=self.error,
            credential_fingerprint=self.api.transport.credential_fingerprint,
        )

    def __str__(self) -> str:
        key = self.create.idempotency_key if self.create else None
        return f"cancel of {self.api.path} {_name_of(self.run_id, key)}"


def _name_of(run_id: str | None, key: str | None) -> str:
    return single_line(run_id or "") or f"created under idempotency_key={key!r}"


async def _in_turn(turns: FifoSemaphore, send: Callable[[], Awaitable[Any]]) -> Any:
    if not turns.try_acquire():
        await turns.acquire(None)
    try:
        return await send()
    finally:
        turns.release()


def _is_unsent(error: RequestError) -> bool:
    """Tell whether the turn of the throttle did not come in time."""
    return isinstance(error, APITimeoutError) and error.attempts == 0


def _pause_after(failures: int) -> float:
    return random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 10), _MAX_PAUSE)


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    """Wait, but not much longer once the client is being closed."""
    if not closing.is_set():
        try:
            async with asyncio.timeout(seconds):
                await closing.wait()
        except TimeoutError:
            return
    await asyncio.sleep(min(seconds, _LAST_PAUSE))


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
    """Queue of pending cancels, each in a task of its own and in the context of its block.

    A task ends when its cancel is confirmed or rejected, or after an hour. The number of sends at once is limited by
    the connections of the client, and the `RESERVED` ones; a cancel that waits to be repeated holds up no other. One
    cancel's failure, whatever its type, leaves the others alone.

    Args:
        slots: The slots for requests of the client, of which the free ones are used.
        max_connections: Their number.
        hooks: Notified of each cancel that could not be confirmed.

    Attributes:
        open_scopes: For each open scope the function that gives up its pending cancel, called by `drain`.
        recent_runs: The runs that the client created, whose cancels outlast a 404 for a while.
    """

    def __init__(self, slots: FifoSemaphore, max_connections: int, hooks: "HookSet | None") -> None:
        self._hooks = hooks
        self.open_scopes: set[Callable[[], PendingCancel | None]] = set()
        self.recent_runs: RecentRuns = RecentRuns()
        self._slots = CleanupSlots(RESERVED, slots)
        self._max_sends = RESERVED + max_connections
        self._turns = FifoSemaphore(self._max_sends)
        self._closing = asyncio.Event()
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
        transport = pending.api.transport
        pending.api = pending.api.with_transport(
            transport.for_cleanup(timeout=_SEND_TIMEOUT, turn_timeout=_TURN_TIMEOUT, slots=self._slots)
        )
        run = pending.run(self._turns, self._closing)
        task = asyncio.get_running_loop().create_task(run, name="retab_async cleanup", context=pending.context)
        self._tasks[task] = pending
        task.add_done_callback(self._on_done)

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - what is left is reported, not raised
        """Wait for all pending cancels, those of open scopes included, give up the rest, and close the queue.

        Args:
            timeout: Seconds; None for 10 and one more for each batch that can be sent at once, 60 at most; for 5 more
                than the period of a given rate limit, 65 at most; and until a minute after the create of a run that
                the API answers with a 404.
        """
        start = time.monotonic()
        self._closing.set()
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
        return max(deadline, *(each.not_found_until + _TURN_TIMEOUT for each in self._tasks.values()))

    def _drain_seconds(self) -> float:
        batches = math.ceil(len(self._tasks) / self._max_sends)
        period = max((each.api.transport.rate_period for each in self._tasks.values()), default=0.0)
        seconds = max(_DRAIN_MIN + batches * _DRAIN_PER_BATCH, period)
        return min(seconds, _DRAIN_MAX) + (_DRAIN_BEYOND_PERIOD if seconds == period else 0.0)

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
        if not self._tasks:
            self._idle.set()

    def _close(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()

    def _report(self, pending: PendingCancel) -> None:
        unconfirmed = pending.unconfirmed()
        self._unconfirmed.append(unconfirmed)
        pending.context.run(self._announce, unconfirmed)
        pending.done.set()

    def _announce(self, unconfirmed: UnconfirmedCancel) -> None:
        _logger.error("%s", unconfirmed)
        if self._hooks is not None:
            self._hooks.notify("on_unconfirmed", unconfirmed)
