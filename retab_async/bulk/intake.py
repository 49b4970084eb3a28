"""Taking ids from their source, one ticket for each."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from retab_async.bulk.outcomes import Disposition
from retab_async.bulk.reporting import Reporting
from retab_async.bulk.source import Source
from retab_async.bulk.tickets import Ticket
from retab_async.errors import InvalidRequestError, InvalidRunIdError
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

# From an item to the name of its collection and its id.
Read = Callable[[Any], tuple[str, str]]

_SHOWN = 200


class Intake(Generic[RunT]):
    """Makes tickets of what a source has; `taken` counts them, `takers` are the workers that wait for the source.

    With `keeps_runs` the items are runs, and the tickets keep them. What the source raises goes to `on_failure`; what
    cannot be an id is reported `rejected` at once.
    """

    def __init__(
        self,
        source: Source[Any],
        read: Read,
        reporting: Reporting[RunT],
        on_failure: Callable[[Exception], None],
        *,
        keeps_runs: bool,
    ) -> None:
        self._source = source
        self._read = read
        self._reporting = reporting
        self._on_failure = on_failure
        self._keeps_runs = keeps_runs
        self._has_ledger = reporting.has_ledger
        # Whether taking may have to wait for somebody.
        self.is_async = source.is_async
        self.taken = 0
        self.takers: set[asyncio.Task[Any]] = set()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to be had."""
        return self._source.is_closed

    @property
    def is_sized(self) -> bool:
        """Whether the ids have a known number."""
        return self._source.is_sized

    def close(self) -> None:
        """Take nothing more."""
        self._source.close()

    def take(self) -> Ticket[RunT] | None:
        """Return the ticket of the next id of an ordinary iterable; None where it has no more, or that one is settled.

        With an asynchronous iterable it is `take_later` that does it.
        """
        try:
            return self._ticket(self._source.next_at_hand())
        except StopIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._on_failure(error)
        return None

    async def take_later(self) -> Ticket[RunT] | None:
        """Return what `take` returns, from an asynchronous iterable."""
        try:
            return self._ticket(await self._pull())
        except StopAsyncIteration:
            self.close()
        except Exception as error:  # noqa: BLE001 - it ends the job, which raises it
            self._on_failure(error)
        return None

    async def _pull(self) -> Any:
        taker = asyncio.current_task()
        assert taker is not None  # noqa: S101 - this is a worker's
        self.takers.add(taker)
        try:
            return await self._source.next()
        finally:
            self.takers.discard(taker)

    def _ticket(self, item: Any) -> Ticket[RunT] | None:
        try:
            resource, run_id = self._read(item)
        except (InvalidRunIdError, InvalidRequestError) as error:
            self._reject(item, error)
            return None
        if self._has_ledger and self._reporting.settled_earlier(resource, run_id):
            return None
        number = self.taken
        self.taken = number + 1
        return Ticket(resource, run_id, number, item if self._keeps_runs else None)

    def _reject(self, item: Any, error: Exception) -> None:
        shown = item if isinstance(item, str) else f"{item!r:.{_SHOWN}}"
        ticket: Ticket[RunT] = Ticket("", shown, self.taken)
        self.taken += 1
        self._reporting.report(ticket, Disposition.REJECTED, error=error)
