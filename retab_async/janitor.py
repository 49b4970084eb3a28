"""Cancels the runs that were left behind, after the tasks that wanted them are gone."""

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack
from typing import Any

import attrs

from retab_async.collection import Collection
from retab_async.errors import NotFoundError, RetabError, one_line
from retab_async.protocol import Request, Trail
from retab_async.retrying import RetryPolicy

AT_ONCE = 16
# Seconds that one run may take in all, and one send of it.
GRACE = 5.0
_TIMEOUT = 2.5
_SENDS = 3
_POLICY = RetryPolicy(attempts=_SENDS, wait_max=1.0, deadline=GRACE)
# A run that was just created may not be everywhere yet.
_PAUSE_AFTER_404 = 0.5
_MOST_REMEMBERED = 10_000

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True)
class UnconfirmedCancel:
    """A run that was to be cancelled on the way out and may still be going on.

    `path` is its collection's. `run_id` is None where not even that could be learned: the run, if there is one, was
    created under the `idempotency_key`. `error` is what went wrong, None where there was no time to try.
    """

    path: str
    run_id: str | None = None
    idempotency_key: str | None = None
    error: RetabError | None = None

    def __str__(self) -> str:
        name = one_line(self.run_id or "") or f"created under idempotency_key={self.idempotency_key!r}"
        return f"{self.path} {name} may still be going on: {self.error or 'there was no time to cancel it'}"


@attrs.define(eq=False, kw_only=True)
class Debt:
    """A cancel that is owed: of a run, or of what a create may have made, which is asked for once more to learn its id.

    `create` is that create's request, and `opened` what keeps its body readable.
    """

    collection: Collection[Any]
    run_id: str | None = None
    create: Request | None = None
    opened: AsyncExitStack = attrs.field(factory=AsyncExitStack)
    error: RetabError | None = None
    is_paid: bool = False
    over: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def pay(self) -> None:
        """Cancel the run; raises `RetabError` where it is not known to be over or on the way there."""
        if self.create is not None:
            run = await self.collection.create(self.create, Trail(in_doubt=True))
            self.run_id, self.is_paid = run.id, run.status.is_terminal
        if self.run_id is not None and not self.is_paid:
            await self._cancel(self.run_id)
            self.is_paid = True

    async def _cancel(self, run_id: str) -> None:
        for pause in (_PAUSE_AFTER_404,) * (_SENDS - 1) + (0.0,):
            try:
                await self.collection.cancel(run_id)
            except NotFoundError:
                await asyncio.sleep(pause)
            else:
                return
        _logger.info("%s %s is not there any more: nothing to cancel", self.collection.path, one_line(run_id))

    def unconfirmed(self) -> UnconfirmedCancel:
        """Return what is to be told of it where it could not be paid."""
        key = self.create.idempotency_key if self.create else None
        return UnconfirmedCancel(path=self.collection.path, run_id=self.run_id, idempotency_key=key, error=self.error)


class Janitor:
    """Pays debts in tasks of its own, which end when there are none; whoever owns it drains it."""

    def __init__(self) -> None:
        self._debts: deque[Debt] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._unconfirmed: deque[UnconfirmedCancel] = deque(maxlen=_MOST_REMEMBERED)
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed."""
        return not self._workers

    @property
    def unconfirmed(self) -> tuple[UnconfirmedCancel, ...]:
        """What could not be confirmed so far, the last 10,000 of it."""
        return tuple(self._unconfirmed)

    def owe(self, debt: Debt, opened: AsyncExitStack | None = None) -> None:
        """Take over a debt, and what it keeps `opened`: at once, for whoever owes may be cancelled already."""
        if self._is_closed:
            self._give_up(debt)
            return
        if opened is not None:
            debt.opened = opened.pop_all()
        debt.collection = debt.collection.over(debt.collection.transport.hastened(timeout=_TIMEOUT, policy=_POLICY))
        self._debts.append(debt)
        if len(self._workers) < AT_ONCE:
            worker = asyncio.get_running_loop().create_task(self._work(), name="retab_async janitor")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def drain(self, seconds: float) -> None:
        """Wait until all is paid, and give up what is not after so many seconds; from then on nothing is taken over."""
        try:
            async with asyncio.timeout(seconds):
                while self._workers:
                    await asyncio.wait(self._workers)
        except TimeoutError:
            pass
        finally:
            self._is_closed = True
            for worker in self._workers:
                worker.cancel()
        while self._workers:
            await asyncio.wait(self._workers)
        while self._debts:
            debt = self._debts.popleft()
            self._give_up(debt)
            await debt.opened.aclose()

    async def _work(self) -> None:
        while self._debts:
            await self._settle(self._debts.popleft())

    async def _settle(self, debt: Debt) -> None:
        try:
            async with debt.opened:
                await debt.pay()
        except RetabError as error:
            debt.error = error
        finally:
            if debt.is_paid:
                debt.over.set()
            else:
                self._give_up(debt)

    def _give_up(self, debt: Debt) -> None:
        told = debt.unconfirmed()
        self._unconfirmed.append(told)
        _logger.error("%s", told)
        debt.over.set()
