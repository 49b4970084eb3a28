"""What the workers of a job do while the server is away: hold what they have, and find out when it is back."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from retab_async.bulk.intake import Intake
from retab_async.bulk.presence import Presence
from retab_async.bulk.rest import Rest
from retab_async.bulk.sending import Sending
from retab_async.bulk.settling import Settling
from retab_async.bulk.tickets import Ticket
from retab_async.errors import RetabError
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

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
        intake: Intake[RunT],
        sending: Sending[RunT],
        settling: Settling[RunT],
        presence: Presence,
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
        self.held: deque[Ticket[RunT]] = deque()

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

    def release(self) -> Ticket[RunT] | None:
        """Return the first that is held, now that nobody waits; None where it was settled instead."""
        ticket = self.held.popleft()
        ticket.ends = 0.0
        if ticket.outages < self._presence.outages:
            ticket.failures, ticket.outages = 0, self._presence.outages
        if not self._presence.is_lost and (ticket.error is None or not self._sending.is_exhausted(ticket)):
            return ticket
        self._settling.lose(ticket, ticket.error or self._presence.error)
        return None

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
            self._on_failure(error)
            return None
        if again is not None:
            return None
        if not isinstance(result, RetabError):
            return None if self._settling.accept(ticket, result) else (ticket, result)
        if self._settling.fail(ticket, result) is not None:
            self.held.append(ticket)
        return None

    def _to_probe_with(self) -> Ticket[RunT] | None:
        intake = self._intake
        if len(self.held) < self._most_held and not (intake.is_async or intake.is_closed or self._is_full()):
            return intake.take()
        return self.held.popleft() if self.held else None

    async def _follow(self, ticket: Ticket[RunT], run: RunT) -> None:
        try:
            await self._settling.follow(ticket, run)
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._settling.lose(ticket, error)
            self._on_failure(error)
