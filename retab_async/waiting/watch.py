"""Waiting for one run, or for many as they end."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Generic, Self, TypeVar

from retab_async.errors import ConfigurationError, RetabError, WaitTimeoutError
from retab_async.models import Run
from retab_async.settings import check_seconds
from retab_async.waiting.lookout import Lookout
from retab_async.waiting.reading import Reads
from retab_async.waiting.seats import Party

RunT = TypeVar("RunT", bound=Run)
StatusCallback = Callable[[RunT], object]

# What is left below this, in seconds, is over: a timeout of 0 would swallow a cancellation.
_SHORTEST = 0.001


class Waits(Generic[RunT]):
    """The runs of some ids as they end; an `ExceptionGroup` of what failed comes after the last one.

    Nothing is asked but while the next one is being waited for, so there is nothing to clean up when it is dropped.
    """

    def __init__(
        self,
        lookout: Lookout[RunT],
        party: Party[RunT],
        timeout: float,
        on_status: StatusCallback[RunT] | None,
    ) -> None:
        self._lookout = lookout
        self._party = party
        self._timeout = timeout
        self._on_status = on_status
        self._count = len(party.seats)
        self._ends: float | None = None
        self._errors: list[RetabError] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        while self._party.seats or self._party.ends:
            end = await self.next_end()
            if not isinstance(end, RetabError):
                return end
            self._errors.append(end)
        if not self._errors:
            raise StopAsyncIteration
        errors, self._errors = self._errors, []
        msg = f"{len(errors)} of {self._count} waits failed"
        raise ExceptionGroup(msg, errors)

    async def aclose(self) -> None:
        """Wait for none of the others any more."""
        with self._lookout.attended(self._party):
            self._party.seats.clear()
            self._party.ends.clear()
            self._errors.clear()

    async def next_end(self) -> RunT | RetabError:
        """Return what the next wait came to; there must be one."""
        with self._lookout.attended(self._party):
            if self._ends is None:
                self._ends = time.monotonic() + self._timeout
                # Those who begin in the same moment are to begin together.
                await asyncio.sleep(0)
            while True:
                self._tell_news()
                if self._party.ends:
                    return self._party.ends.popleft()
                await self._look(self._ends - time.monotonic())

    def _tell_news(self) -> None:
        while self._party.news:
            run = self._party.news.popleft()
            if self._on_status is not None:
                self._on_status(run)

    async def _look(self, left: float) -> None:
        if left < _SHORTEST:
            self._give_up()
            return
        try:
            async with asyncio.timeout(None if math.isinf(left) else left) as patience:
                await self._lookout.look(self._party)
        except TimeoutError:
            if not patience.expired():
                raise

    def _give_up(self) -> None:
        for seat in list(self._party.seats.values()):
            error = WaitTimeoutError(run_id=seat.run_id, timeout=self._timeout, run=seat.run)
            error.__cause__ = seat.failure
            self._party.give_up(seat, error)


class Watch(Generic[RunT]):
    """All waits on one collection: from eight on they share their looks."""

    def __init__(self, reads: Reads[RunT]) -> None:
        self._lookout = Lookout(reads)

    async def wait(
        self,
        run_id: str,
        *,
        timeout: float | None = 3600.0,  # noqa: ASYNC109 - it tells the last run seen
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> RunT:
        """Return a run, with its output, once it is terminal, whatever its status."""
        waits = self.wait_many((run_id,), timeout=timeout, poll_interval=poll_interval, on_status=on_status)
        end = await waits.next_end()
        if isinstance(end, RetabError):
            raise end
        return end

    def wait_many(
        self,
        ids: Iterable[str],
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> Waits[RunT]:
        """Return the runs of these ids as they end, each once; `timeout` is for all of them."""
        if isinstance(ids, str):
            msg = f"ids must be several run ids, not the one text {ids!r:.200}"
            raise ConfigurationError(msg)
        if iscoroutinefunction(on_status):
            msg = "on_status is called, not awaited: give a plain function"
            raise ConfigurationError(msg)
        patience = math.inf if timeout is None else check_seconds("timeout", timeout)
        if poll_interval is not None:
            check_seconds("poll_interval", poll_interval)
        return Waits(self._lookout, Party(ids, poll_interval), patience, on_status)
