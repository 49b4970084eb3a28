"""Waiting for one run, or for many as they finish."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Generic, Self, TypeVar

from retab_async.errors import ConfigurationError, RetabError
from retab_async.models import Run
from retab_async.polling.poller import Poller
from retab_async.polling.source import RunSource
from retab_async.polling.state import WaitSession
from retab_async.settings import check_seconds

RunT = TypeVar("RunT", bound=Run)
StatusCallback = Callable[[RunT], object]

# Seconds: a shorter remainder counts as none, because a timeout of 0 would swallow a cancellation.
_MIN_TIMEOUT = 0.001
# Seconds beyond the timeout that the last poll may take: at most these, and no more than the timeout or these.
_MAX_LAST_POLL = 5.0
_MIN_LAST_POLL = 1.0


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
                if (left := self._deadline - time.monotonic()) >= _MIN_TIMEOUT:
                    await self._poll(left)
                else:
                    await self._poll_once_more()

    def _report_changes(self) -> None:
        while self._session.changes:
            run = self._session.changes.popleft()
            if self._on_status is not None:
                self._on_status(run)

    async def _poll(self, left: float) -> None:
        try:
            async with asyncio.timeout(None if math.isinf(left) else left) as deadline:
                await self._poller.poll(self._session)
        except TimeoutError:
            if not deadline.expired():
                raise

    async def _poll_once_more(self) -> None:
        # The process may have been frozen, or the last poll cut short, and the runs finished meanwhile.
        started = time.monotonic()
        last_deadline = started + min(max(self._timeout, _MIN_LAST_POLL), _MAX_LAST_POLL)
        self._session.poll_once_more(started)
        while not self._session.is_polled_since(started):
            if (left := last_deadline - time.monotonic()) < _MIN_TIMEOUT:
                break
            await self._poll(left)
        self._session.time_out(self._timeout, time.monotonic())


class Waiter(Generic[RunT]):
    """Waits for runs of one kind; from eight on they are batched.

    Args:
        source: Reads of the kind.
        not_found_until: Returns until when, in `time.monotonic()`, the run with an id may not be visible yet, so that
            404s do not end a wait for it.
    """

    def __init__(self, source: RunSource[RunT], not_found_until: Callable[[str], float] = lambda _: -math.inf) -> None:
        self._poller = Poller(source)
        self._not_found_until = not_found_until

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
            poll_interval: Seconds between two polls of a run, whatever the server hints; None for growing intervals, or
                those that it hints.
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
        return WaitIterator(self._poller, WaitSession(runs, poll_interval, self._not_found_until), seconds, on_status)
