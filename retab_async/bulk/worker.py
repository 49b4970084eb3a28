"""What each worker of a job does: take an id, see it through, take the next one."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.circuit_breaker import CircuitBreaker
from retab_async.bulk.id_source import IdSource
from retab_async.bulk.reporter import OutcomeReporter
from retab_async.bulk.results import Disposition, disposition_of_error, disposition_of_run
from retab_async.bulk.sender import CancelItem, CancelSender
from retab_async.bulk.worker_pool import Rest
from retab_async.errors import InvalidRunIdError, RequestError, RetabError
from retab_async.models import Run
from retab_async.transport import SendSuppressedError

RunT = TypeVar("RunT", bound=Run)


class Settling(Generic[RunT]):
    """Gives tickets their outcomes; one that `waits` follows runs to their ends."""

    def __init__(self, sending: CancelSender[RunT], reporting: OutcomeReporter[RunT], *, waits: bool) -> None:
        self._sending = sending
        self._reporting = reporting
        self._waits = waits
        # Where nobody is to see them, outcomes that are as they should be are not made.
        self._counts = reporting.counts_of_unseen

    def accept(self, ticket: CancelItem[RunT], run: RunT) -> bool:
        """Settle a ticket whose cancel was accepted; False where its run is to be followed to its end instead."""
        if self._waits and not run.status.is_terminal:
            return False
        disposition = disposition_of_run(run)
        if self._counts is None:
            self._reporting.report(ticket, disposition, run)
        else:
            self._counts[disposition] += 1
        return True

    async def follow(self, ticket: CancelItem[RunT], run: RunT) -> None:
        """Settle a ticket whose cancel was accepted when its run is over, or cannot be followed."""
        problem = None
        try:
            run = await self._sending.follow(ticket)
        except RetabError as error:
            problem = error
        self._reporting.report(ticket, disposition_of_run(run), run, problem)

    def fail(self, ticket: CancelItem[RunT], error: RetabError) -> float | None:
        """Return after how many seconds to send again what failed, or settle it and return None."""
        pause = self._sending.pause_after(ticket, error)
        if pause is None:
            self._reporting.report(ticket, disposition_of_error(error), error=error)
        else:
            self._sending.announce(ticket, error, pause)
        return pause

    def lose(self, ticket: CancelItem[RunT], error: Exception | None) -> None:
        """Settle a ticket of which nothing is known."""
        self._reporting.report(ticket, Disposition.UNCONFIRMED, error=error)

    def plan(self, ticket: CancelItem[RunT]) -> None:
        """Settle a ticket that is not to be sent."""
        self._reporting.report(ticket, Disposition.PLANNED, ticket.run)


# How many ids more than there are workers may be held, for having failed as probes.
_MORE_HELD = 16


class Vigil(Generic[RunT]):
    """One sends probes, the others rest. `held` are the ids that wait, unsent or to be sent again, for the server.

    `is_full`: whether there is no room for one more id. `on_failure` is called when something is wrong that is no
    affair of one id; `on_loss` when the server was away for too long.
    """

    def __init__(  # noqa: PLR0913 - what it keeps together
        self,
        *,
        intake: IdSource[RunT],
        sending: CancelSender[RunT],
        settling: Settling[RunT],
        presence: CircuitBreaker,
        rest: Rest,
        workers: int,
        is_full: Callable[[], bool],
        on_failure: Callable[[Exception], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._sending = sending
        self._settling = settling
        self._presence = presence
        self._rest = rest
        self._most_held = workers + _MORE_HELD
        self._is_full = is_full
        self._on_failure = on_failure
        self._on_loss = on_loss
        self.held: deque[CancelItem[RunT]] = deque()

    async def sit_out(self) -> None:
        """Rest until something is different, or send the next probe when it is due."""
        if self._presence.is_probed:
            await self._rest.until_woken()
            return
        self._presence.is_probed = True
        try:
            await asyncio.sleep(self._presence.pause())
            accepted = await self._probe()
        finally:
            self._presence.is_probed = False
        # Only now: whoever follows a run to its end is not there for the next probe.
        if accepted is not None:
            await self._follow(*accepted)

    def release(self) -> CancelItem[RunT] | None:
        """Return the first that is held, now that nobody waits; None where it was settled instead."""
        ticket = self.held.popleft()
        ticket.deadline = 0.0
        if ticket.outages < self._presence.outages:
            ticket.failures, ticket.outages = 0, self._presence.outages
        if not self._presence.is_lost and (ticket.error is None or not self._sending.is_exhausted(ticket)):
            return ticket
        self._settling.lose(ticket, ticket.error or self._presence.error)
        return None

    async def _probe(self) -> tuple[CancelItem[RunT], RunT] | None:
        accepted = None
        if self._presence.is_away and self._presence.is_overdue():
            self._on_loss()
        elif self._presence.is_away:
            self._presence.begin_probe()
            accepted = await self._ask()
            if self._presence.is_away:
                self._presence.fail_probe()
        return accepted

    async def _ask(self) -> tuple[CancelItem[RunT], RunT] | None:
        # A cancel that was answered before will be again. Of those that only failed so far nobody knows whether it is
        # on their own account, so in their place new ones are sent for as long as they may be taken.
        again = self._sending.answered()
        ticket = again or self._to_probe_with()
        if ticket is None:
            return None
        try:
            result = await self._sending.probe(ticket)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            if again is None:
                self._settling.lose(ticket, error)
            self._on_failure(error)
            return None
        if again is not None:
            return None
        if not isinstance(result, RetabError):
            return None if self._settling.accept(ticket, result) else (ticket, result)
        if self._settling.fail(ticket, result) is not None:
            self.held.append(ticket)
        return None

    def _to_probe_with(self) -> CancelItem[RunT] | None:
        intake = self._intake
        if len(self.held) < self._most_held and not (intake.is_async or intake.is_closed or self._is_full()):
            return intake.take()
        return self.held.popleft() if self.held else None

    async def _follow(self, ticket: CancelItem[RunT], run: RunT) -> None:
        try:
            await self._settling.follow(ticket, run)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._settling.lose(ticket, error)
            self._on_failure(error)


class Worker(Generic[RunT]):
    """The work of one job; of one that `is_dry` nothing is sent.

    `is_full`: whether there is no room for one more id; None where there always is. `on_taken` is called when one was
    taken, for as long as it returns True; `on_failure` when something is wrong that is no affair of one id.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        *,
        intake: IdSource[RunT],
        sending: CancelSender[RunT],
        settling: Settling[RunT],
        presence: CircuitBreaker,
        vigil: Vigil[RunT],
        rest: Rest,
        is_dry: bool,
        is_full: Callable[[], bool] | None,
        on_taken: Callable[[], bool],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._intake = intake
        self._sending = sending
        self._cancels = sending.cancels
        self._settling = settling
        self._presence = presence
        self._vigil = vigil
        self._held = vigil.held
        self._rest = rest
        self._is_dry = is_dry
        self._is_full = is_full
        self._on_taken = on_taken
        self._may_grow = True
        self._on_failure = on_failure

    async def work(self) -> None:
        """Do it, until there is nothing more to do."""
        ticket = None
        failure: RequestError | InvalidRunIdError | SendSuppressedError | None = None
        try:
            while (ticket := ticket or self._next_at_hand() or await self._next()) is not None:
                # Every id comes this way: a coroutine of its own for it would be felt.
                try:
                    run = await self._cancels[ticket.kind](ticket.run_id)
                    self._sending.note_answer(ticket)
                    if not self._settling.accept(ticket, run):
                        await self._settling.follow(ticket, run)
                except (RequestError, InvalidRunIdError, SendSuppressedError) as error:
                    failure = error
                except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
                    self._spoil(ticket, error)
                if failure is not None:
                    goes_again = await self._goes_again(ticket, failure)
                    # It has this frame, which is not to have it while the worker rests.
                    failure = None
                    if goes_again:
                        continue
                if not ticket.attempts:
                    # Others have a turn, however many there are of those that cost nothing.
                    await asyncio.sleep(0)
                ticket = None
        finally:
            self._rest.wake()

    def _next_at_hand(self) -> CancelItem[RunT] | None:
        # The next one, where there is nothing to wait for; this is the way of most.
        is_full = self._is_full
        if self._presence.is_away or self._held or self._intake.is_async or (is_full is not None and is_full()):
            return None
        ticket = self._intake.take()
        return self._admitted(ticket) if self._may_grow or self._is_dry or self._presence.is_lost else ticket

    async def _next(self) -> CancelItem[RunT] | None:
        while self._held or not self._intake.is_closed:
            if self._presence.is_away:
                await self._vigil.sit_out()
            elif self._held:
                if (ticket := self._vigil.release()) is not None:
                    return ticket
            elif self._is_full is not None and self._is_full():
                await self._rest.until_woken()
            elif self._intake.is_async:
                if (ticket := self._admitted(await self._intake.take_later())) is not None:
                    return ticket
                await asyncio.sleep(0)
            else:
                # Others have a turn, however many there are of those that are settled at once.
                await asyncio.sleep(0)
                if (ticket := self._next_at_hand()) is not None:
                    return ticket
        return None

    def _admitted(self, ticket: CancelItem[RunT] | None) -> CancelItem[RunT] | None:
        # What was taken, if it is to be sent now.
        if ticket is None:
            return None
        self._may_grow = self._may_grow and self._on_taken()
        if self._is_dry:
            self._settling.plan(ticket)
        elif not self._put_aside(ticket):
            return ticket
        return None

    async def _goes_again(
        self, ticket: CancelItem[RunT], failure: RequestError | InvalidRunIdError | SendSuppressedError
    ) -> bool:
        # Whether to send it again now; if not, it is settled, or held.
        try:
            if not isinstance(failure, SendSuppressedError):
                self._sending.note_failure(ticket, failure)
                pause = self._settling.fail(ticket, failure)
                if pause is None:
                    return False
                await asyncio.sleep(pause)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._spoil(ticket, error)
            return False
        return not self._put_aside(ticket)

    def _put_aside(self, ticket: CancelItem[RunT]) -> bool:
        # Hold it while the server is away, or settle it where that is for good; False where the server is there.
        if self._presence.is_lost:
            self._settling.lose(ticket, ticket.error or self._presence.error)
        elif self._presence.is_away:
            self._held.append(ticket)
        else:
            return False
        return True

    def _spoil(self, ticket: CancelItem[RunT], error: Exception) -> None:
        self._settling.lose(ticket, error)
        self._on_failure(error)
