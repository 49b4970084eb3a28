"""What each worker of a job does: take an id, see it through, take the next one; and wait while the server is away."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from retab_async.bulk.intake import Intake
from retab_async.bulk.outcomes import Disposition, disposition_of_error, disposition_of_run
from retab_async.bulk.presence import Presence
from retab_async.bulk.reporting import Reporting
from retab_async.bulk.sending import Sending
from retab_async.bulk.terms import Terms
from retab_async.bulk.tickets import Ticket
from retab_async.errors import RetabError
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

# How many ids more than there are workers may be held, for having failed as probes.
_MORE_HELD = 16


class Shift(Generic[RunT]):
    """The work of one job. `held` are the ids that were taken and wait, unsent or to be sent again, for the server.

    `may_take`: whether there is room for one more. `on_taken`, `on_failure` and `on_loss` are called when an id was
    taken, when something is wrong that is no affair of one id, and when the server was away for too long.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        *,
        intake: Intake[RunT],
        sending: Sending[RunT],
        reporting: Reporting[RunT],
        presence: Presence,
        terms: Terms,
        may_take: Callable[[], bool],
        on_taken: Callable[[], None],
        on_failure: Callable[[Exception], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._sending = sending
        self._reporting = reporting
        self._presence = presence
        self._waits = terms.waits
        self._see_to = self._plan if terms.is_dry else self._see_through
        self._most_held = terms.concurrency + _MORE_HELD
        self._may_take = may_take
        self._on_taken = on_taken
        self._on_failure = on_failure
        self._on_loss = on_loss
        self._held: deque[Ticket[RunT]] = deque()
        self._resting: deque[asyncio.Future[None]] = deque()

    async def work(self) -> None:
        """Do it, until there is nothing more to do."""
        try:
            while (ticket := await self._next()) is not None:
                await self._settle(ticket, self._see_to)
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

    async def _next(self) -> Ticket[RunT] | None:
        while self._held or not self._intake.is_closed:
            if self._presence.is_away:
                await self._sit_out()
            elif self._held:
                return self._resumed()
            elif not self._may_take():
                await self._rest()
            elif (ticket := await self._intake.take()) is not None:
                self._on_taken()
                return ticket
        return None

    def _resumed(self) -> Ticket[RunT]:
        ticket = self._held.popleft()
        ticket.ends = 0.0
        if ticket.outages < self._presence.outages:
            ticket.failures, ticket.outages = 0, self._presence.outages
        return ticket

    async def _settle(self, ticket: Ticket[RunT], see_to: Callable[[Ticket[RunT]], Awaitable[None]]) -> None:
        try:
            await see_to(ticket)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._reporting.report(ticket, Disposition.UNCONFIRMED, error=error)
            self._fail(error)

    async def _plan(self, ticket: Ticket[RunT]) -> None:
        self._reporting.report(ticket, Disposition.PLANNED, ticket.run)

    async def _see_through(self, ticket: Ticket[RunT]) -> None:
        while not self._presence.is_lost:
            if self._presence.is_away:
                self._held.append(ticket)
                return
            pause = await self._read(ticket, await self._sending.attempt(ticket))
            if pause is None:
                return
            await asyncio.sleep(pause)
        self._reporting.report(ticket, Disposition.UNCONFIRMED, error=ticket.error or self._presence.error)

    async def _read(self, ticket: Ticket[RunT], result: RunT | RetabError) -> float | None:
        # After how many seconds to send again, or None where the ticket has its outcome.
        if not isinstance(result, RetabError):
            await self._accept(ticket, result)
            return None
        pause = self._sending.pause_after(ticket, result)
        if pause is None:
            self._reporting.report(ticket, disposition_of_error(result), error=result)
        return pause

    async def _accept(self, ticket: Ticket[RunT], run: RunT) -> None:
        problem = None
        if self._waits and not run.status.is_terminal:
            try:
                run = await self._sending.follow(ticket)
            except RetabError as error:
                problem = error
        self._reporting.report(ticket, disposition_of_run(run), run, problem)

    async def _sit_out(self) -> None:
        if self._presence.is_probed:
            await self._rest()
            return
        self._presence.is_probed = True
        try:
            await asyncio.sleep(self._presence.pause())
            if self._presence.is_away:
                await self._probe()
        finally:
            self._presence.is_probed = False

    async def _probe(self) -> None:
        if self._presence.is_overdue():
            self._on_loss()
            return
        self._presence.begin_probe()
        # A cancel that was answered before will be again, which cannot be said of those that have only failed so far:
        # it may be on account of them.
        ticket = self._sending.answered()
        if ticket is not None:
            await self._ask_again(ticket)
        elif (ticket := await self._to_probe_with()) is not None:
            await self._settle(ticket, self._probe_with)
        if self._presence.is_away:
            self._presence.fail_probe()

    async def _ask_again(self, ticket: Ticket[RunT]) -> None:
        try:
            await self._sending.probe(ticket)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._fail(error)

    async def _probe_with(self, ticket: Ticket[RunT]) -> None:
        if await self._read(ticket, await self._sending.probe(ticket)) is not None:
            self._held.append(ticket)

    async def _to_probe_with(self) -> Ticket[RunT] | None:
        if self._may_take() and not self._intake.is_closed:
            is_cheap = not self._intake.is_async and len(self._held) < self._most_held
            if is_cheap or not self._held:
                return await self._intake.take()
        return self._held.popleft() if self._held else None

    def _fail(self, error: Exception) -> None:
        self._on_failure(error)
        if self._presence.is_away:
            self._on_loss()
