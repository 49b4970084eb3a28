"""One send of a cancel, what it tells of the server, and whether there is to be another."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from retab_async.api.run_api import RunApi
from retab_async.bulk.circuit_breaker import CircuitBreaker, probe_timeout
from retab_async.bulk.options import CancelOptions
from retab_async.errors import HTTPResponseError, InvalidRunIdError, RequestError, RetabError
from retab_async.models import Run
from retab_async.polling import Waiter
from retab_async.retry import RetryPolicy, backoff_delay, is_throttled, is_transient
from retab_async.transport import Transport

RunT = TypeVar("RunT", bound=Run)


class CancelTarget(NamedTuple, Generic[RunT]):
    """The runs of one collection, by their `name`: how they are cancelled, and how they are waited for."""

    name: str
    api: RunApi[RunT]
    waiter: Waiter[RunT]


class CancelItem(Generic[RunT]):
    """An id that was taken, the `number`-th: it is owed one outcome.

    `attempts`: how often it was sent. `failures`: how often that failed in a way that may pass, not counting those of
    an `outages`-th outage and before. `ends`: when the last attempt must have begun, known from the first failure on.
    """

    # Most are answered at once, and have nothing of this.
    attempts = 0
    failures = 0
    outages = 0
    deadline = 0.0
    error: RequestError | None = None

    def __init__(self, resource: str, run_id: str, number: int, run: RunT | None = None) -> None:
        self.kind = resource
        self.run_id = run_id
        self.number = number
        self.run = run


_logger = logging.getLogger("retab_async")


class CancelSender(Generic[RunT]):
    """Sends the cancels of a job, one attempt each; `workers` tells how many send.

    `cancels`: by the name of its collection, what sends the cancel of an id, once and in its turn; what comes of it is
    to be noted. It raises `HeldBackError` where the server had gone before the turn came: it is still to be sent.
    `on_return` is called when the server is there again, `on_loss` when it sends the job away for too long.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a job shares
        self,
        kinds: dict[str, CancelTarget[RunT]],
        transport: Transport,
        terms: CancelOptions,
        presence: CircuitBreaker,
        workers: Callable[[], int],
        on_return: Callable[[], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._kinds = kinds
        self._transport = transport
        self._policy = transport.policy
        self._presence = presence
        self._workers = workers
        self._on_return = on_return
        self._on_loss = on_loss
        self._answered: CancelItem[RunT] | None = None
        patient = transport.for_bulk(
            terms.concurrency,
            terms.rate_limit,
            outage_timeout=terms.outage_timeout,
            is_suspended=lambda: presence.is_away or presence.is_lost,
        )
        self.cancels: dict[str, Callable[[str], Awaitable[RunT]]] = {
            name: kind.api.with_transport(patient).cancel for name, kind in kinds.items()
        }

    async def probe(self, ticket: CancelItem[RunT]) -> RunT | RetabError:
        """Send a cancel once, to find out whether the server is back; what comes of it is noted, and returned."""
        seconds = probe_timeout(self._transport.last_latency)
        policy = RetryPolicy(attempts=1, deadline=seconds)
        hasty = self._transport.with_timeout(timeout=seconds, policy=policy).for_bulk(1, outage_timeout=0.0)
        try:
            run = await self._kinds[ticket.kind].api.with_transport(hasty).cancel(ticket.run_id)
        except (RequestError, InvalidRunIdError) as error:
            self.note_failure(ticket, error)
            return error
        self.note_answer(ticket)
        return run

    def note_answer(self, ticket: CancelItem[RunT], attempts: int = 1) -> None:
        """Note that a send was answered; `attempts` are those that are not counted yet."""
        ticket.attempts += attempts
        self._answered = ticket
        if self._presence.is_doubted and self._presence.answer():
            self._on_return()

    def note_failure(self, ticket: CancelItem[RunT], error: RequestError | InvalidRunIdError) -> None:
        """Note what a send came to instead; what could not be an id was never sent."""
        if isinstance(error, InvalidRunIdError):
            return
        error.in_doubt |= ticket.error is not None and ticket.error.in_doubt
        ticket.error = error
        is_turned_away = not error.attempts or (is_throttled(error) and not self._presence.is_away)
        ticket.attempts += error.attempts
        error.attempts = ticket.attempts
        if is_turned_away:
            # For longer than the job has patience; so would all others be.
            self._presence.error = error
            self._on_loss()
            return
        if isinstance(error, HTTPResponseError) and not is_transient(error):
            self.note_answer(ticket, attempts=0)
            return
        if not is_transient(error):
            return
        # While nothing can succeed, a failure says nothing about an id.
        if not self._presence.is_away:
            ticket.failures += 1
            ticket.deadline = ticket.deadline or time.monotonic() + self._policy.deadline
        self._presence.fail(error, self._workers())

    def answered(self) -> CancelItem[RunT] | None:
        """Return a ticket of its own for the id that had the last answer, None before there was one."""
        last = self._answered
        return None if last is None else CancelItem(last.kind, last.run_id, last.number)

    async def follow(self, ticket: CancelItem[RunT]) -> RunT:
        """Return the run when it is over; raises what `wait` raises."""
        return await self._kinds[ticket.kind].waiter.wait(ticket.run_id)

    def pause_after(self, ticket: CancelItem[RunT], error: RetabError) -> float | None:
        """Return the seconds after which to send again what failed, or None where that is to be its end."""
        if not is_transient(error) or self._presence.is_lost:
            return None
        if self._presence.is_away:
            return 0.0
        pause = backoff_delay(self._policy, ticket.failures, error)
        is_enough = self.is_exhausted(ticket) or time.monotonic() + pause > ticket.deadline
        return None if is_enough else pause

    def announce(self, ticket: CancelItem[RunT], error: RetabError, pause: float) -> None:
        """Log that what failed is sent again after so many seconds, or when the server is back."""
        if self._presence.is_away:
            _logger.warning("again when the API is back: %s", error)
        else:
            number = ticket.failures + 1
            _logger.warning("attempt %d of %d in %.2f s: %s", number, self._policy.attempts, pause, error)

    def is_exhausted(self, ticket: CancelItem[RunT]) -> bool:
        """Tell whether a ticket has failed as often as the client's policy allows."""
        return ticket.failures >= self._policy.attempts
