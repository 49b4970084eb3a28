"""A job under way: its crew and what they share."""

import asyncio
import time
from functools import partial
from typing import Any, Generic, TypeVar

from retab_async.bulk.circuit_breaker import CircuitBreaker
from retab_async.bulk.id_source import IdSource, ItemSource, Read
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.reporter import Ledger, OutcomeQueue, OutcomeReporter
from retab_async.bulk.results import OutcomeCounts
from retab_async.bulk.sender import CancelSender, CancelTarget
from retab_async.bulk.worker import Settling, Vigil, Worker
from retab_async.bulk.worker_pool import Rest, WorkerPool
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

# Seconds for which ids of an unknown number are still taken when nothing is sent any more: they may have no end.
_DRAINING = 1.0


class JobRunner(Generic[RunT]):
    """Runs from `start` until its crew has ended; `aclose` ends it at once.

    `failure`: what ended it that was no affair of one id. `ended_early`: there were more ids when it gave up.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        *,
        source: ItemSource[Any],
        kinds: dict[str, CancelTarget[RunT]],
        read: Read,
        terms: CancelOptions,
        tally: OutcomeCounts,
        handover: OutcomeQueue[RunT] | None,
        ledger: Ledger | None,
    ) -> None:
        self._source = source
        self._handover = handover
        self._timer: asyncio.TimerHandle | None = None
        self._began = time.monotonic()
        self._ended: float | None = None
        self.failure: BaseException | None = None
        self.ended_early = False
        self._presence = CircuitBreaker(terms.outage_timeout)
        self._rest = Rest()
        self._crew = WorkerPool(terms.concurrency, on_failure=self._stop, on_end=self._end)
        reporting = OutcomeReporter(tally, handover, ledger, self._stop)
        self._intake: IdSource[RunT] = IdSource(source, read, reporting, self._stop, keeps_runs=terms.is_dry)
        transport = next(iter(kinds.values())).api.transport
        sending = CancelSender(
            kinds, transport, terms, self._presence, lambda: self._crew.size, self._rest.wake, self._give_up
        )
        settling = Settling(sending, reporting, waits=terms.waits)
        is_full = None if handover is None else partial(self._is_full, handover)
        vigil = Vigil(
            intake=self._intake,
            sending=sending,
            settling=settling,
            presence=self._presence,
            rest=self._rest,
            workers=terms.concurrency,
            is_full=is_full or (lambda: False),
            on_failure=self._fail,
            on_loss=self._give_up,
        )
        self._shift = Worker(
            intake=self._intake,
            sending=sending,
            settling=settling,
            presence=self._presence,
            vigil=vigil,
            rest=self._rest,
            is_dry=terms.is_dry,
            is_full=is_full,
            on_taken=self._grow,
            on_failure=self._fail,
        )

    @property
    def elapsed(self) -> float:
        """Seconds from its start to its end, or until now."""
        return (self._ended or time.monotonic()) - self._began

    def start(self) -> None:
        """Begin, with one worker; there are more as ids are taken."""
        if self._handover is not None:
            self._handover.on_room = self._rest.wake_one
        self._source.open()
        self._crew.start(self._shift.work)

    async def finish(self) -> None:
        """Wait until all is done."""
        await self._crew.finish()

    async def aclose(self) -> None:
        """End at once; what is under way is broken off."""
        await self._crew.abort()
        await self._source.aclose()

    def close_intake(self) -> None:
        """Take no more ids."""
        self._intake.close()
        self._crew.cancel(self._intake.takers)
        self._rest.wake()

    def _is_full(self, handover: OutcomeQueue[RunT]) -> bool:
        return handover.is_full(self._intake.taken + len(self._intake.takers))

    def _grow(self) -> bool:
        # Whoever waits for the source already is enough. Otherwise one who finds work makes two more: those who begin
        # in the same turn of the loop go on together, which is cheaper than one in each turn.
        return bool(self._intake.takers) or (self._crew.spawn() and self._crew.spawn())

    def _stop(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.close_intake()

    def _fail(self, error: Exception) -> None:
        self._stop(error)
        # What is held then waits for nobody.
        if self._presence.is_away:
            self._give_up()

    def _give_up(self) -> None:
        if self._presence.is_lost:
            return
        self._presence.give_up()
        if not self._intake.is_sized and not self._intake.is_closed:
            self._timer = asyncio.get_running_loop().call_later(_DRAINING, self._end_early)
        self._rest.wake()

    def _end_early(self) -> None:
        self.ended_early = not self._intake.is_closed
        self.close_intake()

    def _end(self) -> None:
        self._ended = time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
        if self._handover is not None:
            self._handover.close()
