"""Worker of a bulk job: take an item, wait for the circuit, send the cancel, report the outcome, repeat."""

import asyncio
import logging
from typing import Generic, TypeVar

import attrs

from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState
from retab_async.bulk.follower import RunFollower
from retab_async.bulk.id_source import CancelItem
from retab_async.bulk.item_source import ItemSource
from retab_async.bulk.reporter import OutcomeReporter
from retab_async.bulk.results import Disposition, disposition_of_run
from retab_async.bulk.sender import CancelSender
from retab_async.bulk.worker_pool import WorkerPool
from retab_async.errors import ClientStateError, InvalidRunIdError, RequestError
from retab_async.models import Run
from retab_async.transport import SendSuppressedError

RunT = TypeVar("RunT", bound=Run)

# Bound once: on Python 3.11 each access to a member of an enum is a slow call.
_CLOSED, _OPEN, _GIVEN_UP = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.GIVEN_UP
_ACCEPTED = Disposition.ACCEPTED
# Workers beyond the limit, each of which keeps one item that failed as a probe.
_MAX_SPARE_WORKERS = 16

_logger = logging.getLogger("retab_async")


@attrs.frozen(kw_only=True, eq=False)
class Worker(Generic[RunT]):
    """The loop that all workers of a job run.

    While the circuit is open every worker keeps its item, so that the number of workers bounds the memory. One worker
    at a time probes the server.

    Attributes:
        max_workers: Number of workers up to which the pool grows.
        follower: Follows accepted runs that are not terminal; None reports them at once.
        is_dry_run: Report all items as planned, send nothing.
    """

    source: ItemSource[CancelItem]
    sender: CancelSender[RunT]
    breaker: CircuitBreaker
    reporter: OutcomeReporter[RunT]
    pool: WorkerPool
    max_workers: int
    follower: RunFollower[RunT] | None
    is_dry_run: bool

    async def run(self, item: CancelItem | None = None) -> None:
        """Cancel the items of the source until it is closed; with an item, only that one."""
        is_spare = item is not None
        breaker, cancels = self.breaker, self.sender.cancels
        while (item := item or self._take() or await self._wait_for_item()) is not None:
            if breaker.state is _CLOSED or await self._wait_for_circuit(item):
                # Inline, because another coroutine would be measurable: every id comes this way.
                try:
                    run = await cancels[item.kind](item.run_id)
                except SendSuppressedError:
                    continue
                except Exception as error:  # noqa: BLE001 - the failure of one id is its outcome
                    failure = error
                else:
                    self._accept(item, run)
                    if is_spare:
                        return
                    item = None
                    continue
                delay = self._handle_failure(item, failure)
                # Its traceback holds this frame, which must not hold it while the worker sleeps.
                del failure
                if delay is not None:
                    await asyncio.sleep(delay)
                    continue
            if not item.attempts:
                # Items that need no I/O must not starve the event loop.
                await asyncio.sleep(0)
            if is_spare:
                return
            item = None

    def _take(self) -> CancelItem | None:
        # The next item where nothing has to be waited for, as in most cases.
        slots = self.reporter.slots
        if self.source.is_async or not (slots is None or slots.try_acquire()):
            return None
        return self._admit(self.source.take())

    async def _wait_for_item(self) -> CancelItem | None:
        while not self.source.is_closed:
            await self.reporter.reserve()
            item = self._admit(await self.source.take_async() if self.source.is_async else self.source.take())
            if item is not None:
                return item
            await asyncio.sleep(0)
        return None

    def _admit(self, item: CancelItem | None) -> CancelItem | None:
        if item is None:
            self.reporter.cancel_reservation()
        elif (journal := self.reporter.journal) is not None and self.reporter.report_settled(item, journal):
            pass
        elif item.error is not None:
            self.reporter.report(item, Disposition.INVALID, error=item.error)
        elif self.is_dry_run:
            self.reporter.report(item, Disposition.PLANNED, item.value)
        else:
            if len(self.pool.tasks) < self.max_workers:
                self._grow()
            return item
        return None

    def _grow(self) -> None:
        # A worker that waits for the source is enough. Otherwise two at a time: tasks that start in the same iteration
        # of the event loop are cheaper than one in each.
        if self.breaker.state is _CLOSED and not self.source.has_takers:
            for _ in range(min(2, self.max_workers - len(self.pool.tasks))):
                self.pool.spawn(self.run())

    def _accept(self, item: CancelItem, run: RunT) -> None:
        self.sender.on_success(item)
        disposition = disposition_of_run(run)
        if disposition is _ACCEPTED and self.follower is not None:
            self.follower.start(item, run)
        else:
            self.reporter.report(item, disposition, run)

    def _handle_failure(self, item: CancelItem, error: Exception) -> float | None:
        # The seconds after which to send again; None if the item has its outcome.
        delay = None
        try:
            if isinstance(error, RequestError):
                self._record_failure(item, error)
                delay = self.sender.resend_delay(item, error)
            elif isinstance(error, ClientStateError):
                self._fail_job(error)
            elif not isinstance(error, InvalidRunIdError):
                _logger.error("%s: unexpected error: %r", item.run_id, error, exc_info=error)
        except Exception as unexpected:  # noqa: BLE001 - a log handler may fail, and the item must have its outcome
            error = unexpected
        if delay is None:
            self.reporter.report(item, self.sender.disposition_of_error(error), error=error)
        return delay

    def _record_failure(self, item: CancelItem, error: RequestError) -> None:
        self.sender.on_failure(item, error, len(self.pool.tasks))
        if self.sender.refuses_caller(error):
            self.source.refuse(error)
            self.breaker.give_up(error)
        elif self.breaker.state is _GIVEN_UP:
            self.source.drain()

    def _fail_job(self, error: Exception) -> None:
        self.source.fail(error)
        # The other workers would wait for a server that nothing is sent to any more.
        if self.breaker.state is _OPEN:
            self.breaker.give_up()

    async def _wait_for_circuit(self, item: CancelItem) -> bool:
        # True when the item may be sent; False if it has its outcome.
        outages = self.breaker.outages
        while self.breaker.state is _OPEN:
            async with self.breaker.probe_turn() as is_due:
                if is_due and await self._probe(item):
                    return False
        if self.breaker.outages > outages:
            item.failures, item.congestions, item.deadline = 0, 0, 0.0
        if self.breaker.state is _GIVEN_UP:
            self.source.drain()
        elif not self.sender.is_exhausted(item):
            return True
        self.reporter.report(item, Disposition.UNCONFIRMED, error=item.error or self.breaker.error)
        return False

    async def _probe(self, item: CancelItem) -> bool:
        # True if the item has its outcome. The best probe repeats a cancel that had a response before. Of items that
        # failed it is unknown whether they do so on their own account, so an unsent one comes next.
        repeat = self.sender.repeat_of_success()
        if repeat is not None:
            await self._send_repeat(repeat)
            return False
        fresh = self._take_fresh() if item.attempts else None
        if fresh is None:
            return await self._send_probe(item)
        if not await self._send_probe(fresh):
            self.pool.spawn(self.run(fresh))
        return False

    def _take_fresh(self) -> CancelItem | None:
        is_available = len(self.pool.tasks) < self.max_workers + _MAX_SPARE_WORKERS and not self.source.is_closed
        return self._take() if is_available else None

    async def _send_probe(self, item: CancelItem) -> bool:
        failure = None
        try:
            run = await self.sender.probe(item)
        except Exception as error:  # noqa: BLE001 - the failure of one id is its outcome
            failure = error
        if failure is not None:
            return self._handle_failure(item, failure) is None
        self._accept(item, run)
        return True

    async def _send_repeat(self, item: CancelItem) -> None:
        try:
            await self.sender.probe(item)
        except RequestError as error:
            self._record_failure(item, error)
        except ClientStateError as error:
            self._fail_job(error)
        else:
            self.sender.on_success(item)
