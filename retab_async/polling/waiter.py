"""Waiting for one run, or for many as they end."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Generic, Self, TypeVar

from retab_async.errors import ConfigurationError, RetabError, WaitTimeoutError
from retab_async.models import Run
from retab_async.polling.poller import Poller
from retab_async.polling.state import RunSource, WaitSession
from retab_async.settings import check_seconds

RunT = TypeVar("RunT", bound=Run)
StatusCallback = Callable[[RunT], object]

# What is left below this, in seconds, is over: a timeout of 0 would swallow a cancellation.
_SHORTEST = 0.001


class WaitIterator(Generic[RunT]):
    """The runs of some ids as they end; an `ExceptionGroup` of what failed comes after the last one.

    Nothing is asked but while the next one is being waited for, so there is nothing to clean up when it is dropped.
    """

    def __init__(
        self,
        poller: Poller[RunT],
        session: WaitSession[RunT],
        timeout: float,
        on_status: StatusCallback[RunT] | None,
    ) -> None:
        self._poller = poller
        self._session = session
        self._timeout = timeout
        self._on_status = on_status
        self._count = len(session.waits)
        self._deadline: float | None = None
        self._errors: list[RetabError] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        while self._session.waits or self._session.results:
            end = await self.next_result()
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
        with self._poller.registered(self._session):
            self._session.waits.clear()
            self._session.results.clear()
            self._errors.clear()

    async def next_result(self) -> RunT | RetabError:
        """Return what the next wait came to; there must be one."""
        with self._poller.registered(self._session):
            if self._deadline is None:
                self._deadline = time.monotonic() + self._timeout
                # Those who begin in the same moment are to begin together.
                await asyncio.sleep(0)
            while True:
                self._report_changes()
                if self._session.results:
                    return self._session.results.popleft()
                await self._poll(self._deadline - time.monotonic())

    def _report_changes(self) -> None:
        while self._session.changes:
            run = self._session.changes.popleft()
            if self._on_status is not None:
                self._on_status(run)

    async def _poll(self, left: float) -> None:
        if left < _SHORTEST:
            self._time_out()
            return
        try:
            async with asyncio.timeout(None if math.isinf(left) else left) as patience:
                await self._poller.poll(self._session)
        except TimeoutError:
            if not patience.expired():
                raise

    def _time_out(self) -> None:
        for seat in list(self._session.waits.values()):
            error = WaitTimeoutError(run_id=seat.run_id, timeout=self._timeout, run=seat.run)
            error.__cause__ = seat.failure
            self._session.fail_wait(seat, error)


class Waiter(Generic[RunT]):
    """All waits on one collection: from eight on they share their looks."""

    def __init__(self, source: RunSource[RunT]) -> None:
        self._poller = Poller(source)

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
        end = await waits.next_result()
        if isinstance(end, RetabError):
            raise end
        return end

    def wait_many(
        self,
        runs: Iterable[str],
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> WaitIterator[RunT]:
        """Return the runs of these ids as they end, each once; `timeout` is for all of them."""
        if isinstance(runs, str):
            msg = f"ids must be several run ids, not the one text {runs!r:.200}"
            raise ConfigurationError(msg)
        if iscoroutinefunction(on_status):
            msg = "on_status is called, not awaited: give a plain function"
            raise ConfigurationError(msg)
        patience = math.inf if timeout is None else check_seconds("timeout", timeout)
        if poll_interval is not None:
            check_seconds("poll_interval", poll_interval)
        return WaitIterator(self._poller, WaitSession(runs, poll_interval), patience, on_status)
