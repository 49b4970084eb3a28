"""What each worker of a job does: take an id, see it through, take the next one."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.intake import Intake
from retab_async.bulk.presence import Presence
from retab_async.bulk.rest import Rest
from retab_async.bulk.sending import Sending
from retab_async.bulk.settling import Settling
from retab_async.bulk.tickets import Ticket
from retab_async.bulk.vigil import Vigil
from retab_async.errors import CallError, InvalidRunIdError
from retab_async.models import Run
from retab_async.transport import HeldBackError

RunT = TypeVar("RunT", bound=Run)


class Shift(Generic[RunT]):
    """The work of one job; of one that `is_dry` nothing is sent.

    `is_full`: whether there is no room for one more id; None where there always is. `on_taken` is called when one was
    taken, for as long as it returns True; `on_failure` when something is wrong that is no affair of one id.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        *,
        intake: Intake[RunT],
        sending: Sending[RunT],
        settling: Settling[RunT],
        presence: Presence,
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
        failure: CallError | InvalidRunIdError | HeldBackError | None = None
        try:
            while (ticket := ticket or self._next_at_hand() or await self._next()) is not None:
                # Every id comes this way: a coroutine of its own for it would be felt.
                try:
                    run = await self._cancels[ticket.resource](ticket.run_id)
                    self._sending.note_answer(ticket)
                    if not self._settling.accept(ticket, run):
                        await self._settling.follow(ticket, run)
                except (CallError, InvalidRunIdError, HeldBackError) as error:
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

    def _next_at_hand(self) -> Ticket[RunT] | None:
        # The next one, where there is nothing to wait for; this is the way of most.
        is_full = self._is_full
        if self._presence.is_away or self._held or self._intake.is_async or (is_full is not None and is_full()):
            return None
        ticket = self._intake.take()
        return self._admitted(ticket) if self._may_grow or self._is_dry or self._presence.is_lost else ticket

    async def _next(self) -> Ticket[RunT] | None:
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

    def _admitted(self, ticket: Ticket[RunT] | None) -> Ticket[RunT] | None:
        # What was taken, if it is to be sent now.
        if ticket is None:
            return None
        self._may_grow = self._may_grow and self._on_taken()
        if self._is_dry:
            self._settling.plan(ticket)
        elif not self._put_aside(ticket):
            return ticket
        return None

    async def _goes_again(self, ticket: Ticket[RunT], failure: CallError | InvalidRunIdError | HeldBackError) -> bool:
        # Whether to send it again now; if not, it is settled, or held.
        try:
            if not isinstance(failure, HeldBackError):
                self._sending.note_failure(ticket, failure)
                pause = self._settling.fail(ticket, failure)
                if pause is None:
                    return False
                await asyncio.sleep(pause)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._spoil(ticket, error)
            return False
        return not self._put_aside(ticket)

    def _put_aside(self, ticket: Ticket[RunT]) -> bool:
        # Hold it while the server is away, or settle it where that is for good; False where the server is there.
        if self._presence.is_lost:
            self._settling.lose(ticket, ticket.error or self._presence.error)
        elif self._presence.is_away:
            self._held.append(ticket)
        else:
            return False
        return True

    def _spoil(self, ticket: Ticket[RunT], error: Exception) -> None:
        self._settling.lose(ticket, error)
        self._on_failure(error)
