"""Waiting for one run, or for many as they finish."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Generic, Self, TypeVar

from retab_async.errors import ConfigurationError, RetabError, WaitTimeoutError
from retab_async.models import Run
from retab_async.polling.poller import Poller
from retab_async.polling.source import RunSource
from retab_async.polling.state import WaitSession
from retab_async.settings import check_seconds

RunT = TypeVar("RunT", bound=Run)
StatusCallback = Callable[[RunT], object]

# Seconds: a shorter remainder counts as none, because a timeout of 0 would swallow a cancellation.
_MIN_TIMEOUT = 0.001


class WaitIterator(Generic[RunT]):
    """Async iterator over runs as they finish; an `ExceptionGroup` of the waits that failed comes last.

    Requests are sent only while the next run is awaited, so that an iterator that is dropped leaves nothing behind.

    Args:
        poller: Poller of the kind of run.
        session: The waits.
        timeout: Seconds for all of them together, from the first step on.
        on_status: Called with a run whenever its status has changed.
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
            result = await self.next_result()
            if not isinstance(result, RetabError):
                return result
            self._errors.append(result)
        if not self._errors:
            raise StopAsyncIteration
        errors, self._errors = self._errors, []
        msg = f"{len(errors)} of {self._count} waits failed"
        raise ExceptionGroup(msg, errors)

    async def aclose(self) -> None:
        """Drop the remaining waits."""
        with self._poller.registered(self._session):
            self._session.waits.clear()
            self._session.results.clear()
            self._errors.clear()

    async def next_result(self) -> RunT | RetabError:
        """Return the run or error that ends the next wait; there must be one."""
        with self._poller.registered(self._session):
            if self._deadline is None:
                self._deadline = time.monotonic() + self._timeout
                # Waits that begin in one iteration of the loop are batched from the first poll on.
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
        if left < _MIN_TIMEOUT:
            self._time_out()
            return
        try:
            async with asyncio.timeout(None if math.isinf(left) else left) as deadline:
                await self._poller.poll(self._session)
        except TimeoutError:
            if not deadline.expired():
                raise

    def _time_out(self) -> None:
        for wait in list(self._session.waits.values()):
            error = WaitTimeoutError(run_id=wait.run_id, timeout=self._timeout, run=wait.run)
            error.__cause__ = wait.failure
            self._session.fail_wait(wait, error)


class Waiter(Generic[RunT]):
    """Waits for runs of one kind; from eight on they are batched.

    Args:
        source: Reads of the kind.
    """

    def __init__(self, source: RunSource[RunT]) -> None:
        self._poller = Poller(source)

    async def wait(
        self,
        run_id: str,
        *,
        timeout: float | None = 3600.0,  # noqa: ASYNC109 - the error names the run as it was last seen
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> RunT:
        """Return a run, with its output, once it is terminal, whatever its status."""
        waits = self.wait_many((run_id,), timeout=timeout, poll_interval=poll_interval, on_status=on_status)
        result = await waits.next_result()
        if isinstance(result, RetabError):
            raise result
        return result

    def wait_many(
        self,
        runs: Iterable[str],
        *,
        timeout: float | None = 3600.0,
        poll_interval: float | None = None,
        on_status: StatusCallback[RunT] | None = None,
    ) -> WaitIterator[RunT]:
        """Return an iterator over the runs with these ids as they finish, each once.

        Args:
            runs: Ids of the runs.
            timeout: Seconds for all of them together, None for no limit.
            poll_interval: Seconds between two polls of a run, None for growing intervals.
            on_status: Called with a run whenever its status has changed.

        Raises:
            ConfigurationError: One of the arguments cannot work.
        """
        if isinstance(runs, str):
            msg = f"runs must be several ids, not the one string {runs!r:.200}"
            raise ConfigurationError(msg)
        if iscoroutinefunction(on_status):
            msg = "on_status is called, not awaited: pass a plain function"
            raise ConfigurationError(msg)
        seconds = math.inf if timeout is None else check_seconds("timeout", timeout)
        if poll_interval is not None:
            check_seconds("poll_interval", poll_interval)
        return WaitIterator(self._poller, WaitSession(runs, poll_interval), seconds, on_status)
