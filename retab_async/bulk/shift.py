"""What each worker of a job does: take an id, see it through, take the next one; and wait while the server is away."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.intake import Intake
from retab_async.bulk.presence import Presence
from retab_async.bulk.reporting import Reporting
from retab_async.bulk.sending import Sending
from retab_async.bulk.settling import Settling
from retab_async.bulk.terms import Terms
from retab_async.bulk.tickets import Ticket
from retab_async.errors import CallError, InvalidRunIdError, RetabError
from retab_async.models import Run
from retab_async.transport import HeldBackError

RunT = TypeVar("RunT", bound=Run)

# How many ids more than there are workers may be held, for having failed as probes.
_MORE_HELD = 16


class Shift(Generic[RunT]):
    """The work of one job. `held` are the ids that were taken and wait, unsent or to be sent again, for the server.

    `may_take`: whether there is room for one more; None where there always is. `on_taken` is called when an id was
    taken, for as long as it returns True; `on_failure` when something is wrong that is no affair of one id; `on_loss`
    when the server was away for too long.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        *,
        intake: Intake[RunT],
        sending: Sending[RunT],
        reporting: Reporting[RunT],
        presence: Presence,
        terms: Terms,
        may_take: Callable[[], bool] | None,
        on_taken: Callable[[], bool],
        on_failure: Callable[[Exception], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._sending = sending
        self._settling = Settling(sending, reporting, waits=terms.waits)
        self._presence = presence
        self._see_to = self._settling.plan if terms.is_dry else self._see_through
        self._most_held = terms.concurrency + _MORE_HELD
        self._is_bounded = may_take is not None
        self._may_take = may_take or (lambda: True)
        self._on_taken = on_taken
        self._may_grow = True
        self._on_failure = on_failure
        self._on_loss = on_loss
        self._held: deque[Ticket[RunT]] = deque()
        self._resting: deque[asyncio.Future[None]] = deque()

    async def work(self) -> None:
        """Do it, until there is nothing more to do."""
        try:
            while (ticket := self._next_at_hand() or await self._next()) is not None:
                try:
                    await self._see_to(ticket)
                except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
                    self._spoil(ticket, error)
                if not ticket.attempts:
                    # Others have a turn, however many there are of those that cost nothing.
                    await asyncio.sleep(0)
        finally:
            self.wake()

    def wake(self) -> None:
        """Let all who rest see what there is to do."""
        while self._resting:
            self.wake_one()

    def wake_one(self) -> None:
        """Let one who rests see what there is to do."""
        while self._resting:
            turn = self._resting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _rest(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._resting.append(turn)
        await turn

    def _next_at_hand(self) -> Ticket[RunT] | None:
        # The next one, where there is nothing to wait for; this is the way of most.
        if self._presence.is_away or self._held or self._intake.is_async or (self._is_bounded and not self._may_take()):
            return None
        ticket = self._intake.take()
        if self._may_grow and ticket is not None:
            self._may_grow = self._on_taken()
        return ticket

    async def _next(self) -> Ticket[RunT] | None:
        while self._held or not self._intake.is_closed:
            if self._presence.is_away:
                await self._sit_out()
            elif self._held:
                if (ticket := self._resumed()) is not None:
                    return ticket
            elif not self._may_take():
                await self._rest()
            elif not self._intake.is_async:
                # Others have a turn, however many there are of those that are settled at once.
                await asyncio.sleep(0)
                if (ticket := self._next_at_hand()) is not None:
                    return ticket
            elif (ticket := await self._intake.take_later()) is not None:
                self._may_grow = self._may_grow and self._on_taken()
                return ticket
        return None

    def _resumed(self) -> Ticket[RunT] | None:
        ticket = self._held.popleft()
        ticket.ends = 0.0
        if ticket.outages < self._presence.outages:
            ticket.failures, ticket.outages = 0, self._presence.outages
        if ticket.error is not None and self._sending.is_exhausted(ticket):
            self._settling.lose(ticket, ticket.error)
            return None
        return ticket

    async def _see_through(self, ticket: Ticket[RunT]) -> None:
        while not self._presence.is_lost:
            if self._presence.is_away:
                self._held.append(ticket)
                return
            began = time.monotonic()
            try:
                run = await self._sending.cancel(ticket)
            except HeldBackError:
                continue
            except (CallError, InvalidRunIdError) as error:
                self._sending.note_failure(ticket, error, began)
                pause = self._settling.fail(ticket, error)
            else:
                self._sending.note_answer(ticket, began)
                if not self._settling.accept(ticket, run):
                    await self._settling.follow(ticket, run)
                return
            if pause is None:
                return
            await asyncio.sleep(pause)
        self._settling.lose(ticket, ticket.error or self._presence.error)

    async def _sit_out(self) -> None:
        if self._presence.is_probed:
            await self._rest()
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

    async def _probe(self) -> tuple[Ticket[RunT], RunT] | None:
        accepted = None
        if self._presence.is_away and self._presence.is_overdue():
            self._on_loss()
        elif self._presence.is_away:
            self._presence.begin_probe()
            accepted = await self._ask()
            if self._presence.is_away:
                self._presence.fail_probe()
        return accepted

    async def _ask(self) -> tuple[Ticket[RunT], RunT] | None:
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
            self._fail(error)
            return None
        if again is not None:
            return None
        if not isinstance(result, RetabError):
            return None if self._settling.accept(ticket, result) else (ticket, result)
        if self._settling.fail(ticket, result) is not None:
            self._held.append(ticket)
        return None

    def _to_probe_with(self) -> Ticket[RunT] | None:
        intake = self._intake
        if len(self._held) < self._most_held and not (intake.is_async or intake.is_closed) and self._may_take():
            return intake.take()
        return self._held.popleft() if self._held else None

    async def _follow(self, ticket: Ticket[RunT], run: RunT) -> None:
        try:
            await self._settling.follow(ticket, run)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._spoil(ticket, error)

    def _spoil(self, ticket: Ticket[RunT], error: Exception) -> None:
        self._settling.lose(ticket, error)
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._on_failure(error)
        if self._presence.is_away:
            self._on_loss()
