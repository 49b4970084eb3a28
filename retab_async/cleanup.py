"""Cancels the runs that were left behind, after the tasks that wanted them are gone."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Protocol

import attrs

from retab_async.api.run_api import RunApi
from retab_async.errors import ConflictError, NotFoundError, ResponseError, RetabError
from retab_async.protocol import DeliveryState, Request
from retab_async.retry import RetryPolicy, is_transient, retry_after_of
from retab_async.text import single_line
from retab_async.throttle import FifoSemaphore

MAX_CONCURRENT = 16
# Seconds that one run may take, from when its turn comes, and one send of it.
GRACE = 5.0
_TIMEOUT = 2.5
_ONE_SEND = RetryPolicy(attempts=1, deadline=GRACE)
# Seconds, roughly, before the second and before the third send.
_PAUSES = (0.25, 1.0)
# A run that was just created may not be everywhere yet, and a create may be still under way: that takes a while.
_LONG_PAUSE = 1.0
# Seconds for what closing gave up to come to its end.
_ENDING = 1.0
_MOST_REMEMBERED = 10_000

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class UnconfirmedCancel:
    """A run that was to be cancelled on the way out and may still be going on.

    `path` is its collection's. `run_id` is None where not even that could be learned: the run, if there is one, was
    created under the `idempotency_key`. `error` is what went wrong last, None where nothing was tried.
    """

    path: str
    run_id: str | None = None
    idempotency_key: str | None = None
    error: RetabError | None = None

    def __str__(self) -> str:
        name = single_line(self.run_id or "") or f"created under idempotency_key={self.idempotency_key!r}"
        reason = self.error or "the client was closed before it could be cancelled"
        return f"{self.path} {name} may still be going on: {reason}"


@attrs.define(eq=False, kw_only=True)
class PendingCancel:
    """A cancel that is owed: of a run, or of what a create may have made, which is asked for once more to learn its id.

    `create` is that create's request, and `opened` what keeps its body readable.
    """

    api: RunApi[Any]
    run_id: str = ""
    create: Request | None = None
    opened: AsyncExitStack = attrs.field(factory=AsyncExitStack)
    error: RetabError | None = None
    is_confirmed: bool = False
    done: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self) -> None:
        """Cancel the run; where that cannot be confirmed in time, `error` says why, and it is not paid."""
        extra = self.create.extra_seconds if self.create else 0.0
        try:
            async with self.opened, asyncio.timeout(GRACE + extra):
                await self._end()
                self.is_confirmed = True
        except RetabError as error:
            self.error = error
        except TimeoutError:
            # What went wrong with the last send has been noted.
            pass

    async def _end(self) -> None:
        if self.create is not None:
            run = await self._insist(partial(self.api.create, self.create, DeliveryState(in_doubt=True)))
            self.run_id = run.id
            if run.status.is_terminal:
                return
        try:
            await self._insist(partial(self.api.cancel, self.run_id))
        except NotFoundError:
            _logger.info("%s %s is not there any more: nothing to cancel", self.api.path, single_line(self.run_id))

    async def _insist(self, send: Callable[[], Awaitable[Any]]) -> Any:
        for pause in _PAUSES:
            try:
                return await send()
            except (NotFoundError, ConflictError) as error:
                self.error = error
                await asyncio.sleep(max(pause, _LONG_PAUSE))
            except RetabError as error:
                # What cannot be read is no refusal: a proxy's page, or an answer that was spoiled on its way.
                if not (is_transient(error) or isinstance(error, ResponseError)):
                    raise
                self.error = error
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause + retry_after_of(error))
        return await send()

    def unconfirmed(self) -> UnconfirmedCancel:
        """Return what is to be told of it where it could not be paid."""
        key = self.create.idempotency_key if self.create else None
        return UnconfirmedCancel(path=self.api.path, run_id=self.run_id or None, idempotency_key=key, error=self.error)


class OpenScope(Protocol):
    """What owes a cancel if the client is closed now."""

    def take_pending_cancel(self) -> PendingCancel | None:
        """Give the debt away, for good, or None where nothing is owed."""


class CleanupQueue:
    """Pays debts in tasks of its own, which end when there are none; whoever owns it drains it.

    `debtors` are those who would owe if the client were closed now.
    """

    def __init__(self) -> None:
        self.open_scopes: set[OpenScope] = set()
        self._pending: deque[PendingCancel] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._unconfirmed: deque[UnconfirmedCancel] = deque(maxlen=_MOST_REMEMBERED)
        # Its own, for those of the client may be taken for half an hour.
        self._places = FifoSemaphore(MAX_CONCURRENT)
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed, and nobody would owe."""
        return not self._workers and not self.open_scopes

    @property
    def unconfirmed(self) -> tuple[UnconfirmedCancel, ...]:
        """What could not be confirmed so far, the last 10,000 of it."""
        return tuple(self._unconfirmed)

    def submit(self, debt: PendingCancel) -> None:
        """Take over a debt, at once and without waiting: whoever owes may be cancelled already."""
        self._pending.append(debt)
        if self._is_closed:
            self._give_up_all()
            return
        transport = debt.api.transport.with_timeout(timeout=_TIMEOUT, policy=_ONE_SEND, slots=self._places)
        debt.api = debt.api.with_transport(transport)
        if len(self._workers) < MAX_CONCURRENT:
            worker = asyncio.get_running_loop().create_task(self._work(), name="retab_async janitor")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def drain(self, seconds: float) -> None:
        """Wait until all is paid, and give up what is not after so many seconds; from then on nothing is taken over."""
        try:
            async with asyncio.timeout(seconds):
                self._take_over()
                while self._workers:
                    await asyncio.wait(self._workers)
                    self._take_over()
        except TimeoutError:
            pass
        finally:
            for worker in self._workers:
                worker.cancel()
            self._give_up_all()
        if self._workers:
            await asyncio.wait(self._workers, timeout=_ENDING)

    def _take_over(self) -> None:
        for debt in filter(None, [debtor.take_pending_cancel() for debtor in self.open_scopes]):
            self.submit(debt)

    async def _work(self) -> None:
        is_done = False
        try:
            while self._pending:
                await self._settle(self._pending.popleft())
            is_done = True
        finally:
            # Cancelled with its loop, or by closing: nobody is going to come for the others.
            if not is_done:
                self._give_up_all()

    async def _settle(self, debt: PendingCancel) -> None:
        try:
            await debt.run()
        finally:
            if debt.is_confirmed:
                debt.done.set()
            else:
                self._give_up(debt)

    def _give_up_all(self) -> None:
        self._is_closed = True
        while self._pending:
            self._give_up(self._pending.popleft())

    def _give_up(self, debt: PendingCancel) -> None:
        told = debt.unconfirmed()
        self._unconfirmed.append(told)
        _logger.error("%s", told)
        debt.done.set()
