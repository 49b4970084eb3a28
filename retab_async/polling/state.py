"""State of waits: when each polls next, and what has come of it. No I/O in here."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Generic, TypeVar

import attrs

from retab_async.errors import NotFoundError, ResponseError, RetabError
from retab_async.models import Run
from retab_async.polling.source import Snapshot
from retab_async.retry import is_transient, retry_after_of

RunT = TypeVar("RunT", bound=Run)

# Seconds between two polls: at first, factor of growth, relative jitter, and at most.
_FIRST_INTERVAL = 0.5
_GROWTH = 1.5
_JITTER = 0.2
_MAX_INTERVAL = 10.0
# A new run may not be visible everywhere yet, and a gateway may say anything once.
_MAX_MISSES = 3


def intervals(fixed: float | None, draw: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Yield the seconds from each poll to the next: the `fixed` ones, or growing ones with jitter."""
    return _growing(draw) if fixed is None else repeat(fixed)


def _growing(draw: Callable[[float, float], float]) -> Iterator[float]:
    mean = _FIRST_INTERVAL
    while True:
        yield mean * draw(1 - _JITTER, 1 + _JITTER)
        # So that the longest intervals have their jitter too, and none is above the maximum.
        mean = min(mean * _GROWTH, _MAX_INTERVAL / (1 + _JITTER))


def is_retryable_miss(error: RetabError) -> bool:
    """Return whether an error ends a wait only when it is repeated: a 404, or JSON of another shape."""
    return isinstance(error, NotFoundError) or (isinstance(error, ResponseError) and bool(error.path))


def is_fatal(error: RetabError) -> bool:
    """Return whether a failed poll ends the wait at once; a 404 or an unreadable response may be gone the next time."""
    return not isinstance(error, NotFoundError | ResponseError) and not is_transient(error)


@attrs.define(eq=False)
class RunWait(Generic[RunT]):
    """Wait for one run; times are of `time.monotonic()`.

    Attributes:
        run_id: Id of the run.
        next_poll: When to poll next.
        interval: Seconds from the last poll to the next.
        run: The run as it was last seen, None before.
        failure: Error of the last poll, None if it succeeded.
        result: Terminal run or error that ended the wait, None before.
        needs_output: Whether the run is known to be terminal, and only its output is missing.
        solo_polls: How many of the next polls are single reads, not list scans.
    """

    run_id: str
    _intervals: Iterator[float]
    next_poll: float = 0.0
    interval: float = 0.0
    run: RunT | None = None
    failure: RetabError | None = None
    result: RunT | RetabError | None = None
    needs_output: bool = False
    solo_polls: int = 0
    _misses: int = 0

    def is_due_soon(self, now: float) -> bool:
        """Return whether the next poll is near enough to take part in one now, so that waits stay batched."""
        return self.next_poll <= now + self.interval / 2

    @property
    def is_shareable(self) -> bool:
        """Whether a list scan can answer the next poll."""
        return not self.needs_output and not self.solo_polls

    def observe(self, snapshot: Snapshot[RunT], now: float) -> bool:
        """Record a successful poll; return whether the status has changed."""
        run, before = snapshot.run, self.run
        self.run, self.failure, self._misses = run, None, 0
        if not run.status.is_terminal:
            self.needs_output = False
            self._schedule(now, snapshot.hint)
        elif snapshot.is_whole:
            self.result = run
        else:
            self.needs_output = True
            self.next_poll = now
        return before is None or run.status != before.status

    def fail(self, error: RetabError, now: float) -> None:
        """Record a failed poll, which may end the wait."""
        self.failure = error
        self._misses = self._misses + 1 if is_retryable_miss(error) else 0
        if is_fatal(error) or self._misses >= _MAX_MISSES:
            self.result = error
            return
        self._schedule(now)
        self.next_poll = max(self.next_poll, now + retry_after_of(error))

    def _schedule(self, now: float, hint: float | None = None) -> None:
        if hint:
            self.interval = hint
        elif self.is_due_soon(now):
            # A response to another wait in between is no reason to poll less often.
            self.interval = next(self._intervals)
        self.next_poll = now + self.interval


class WaitSession(Generic[RunT]):
    """Waits of one call, and the events that its caller has not taken yet.

    Args:
        run_ids: Ids of the runs; repeated ones count once.
        poll_interval: Seconds between two polls, None for growing intervals.

    Attributes:
        waits: Waits without a result, by run id.
        changes: Runs with a changed status.
        results: What ended waits.
    """

    def __init__(self, run_ids: Iterable[str], poll_interval: float | None) -> None:
        self.waits: dict[str, RunWait[RunT]] = {each: RunWait(each, intervals(poll_interval)) for each in run_ids}
        self.changes: deque[RunT] = deque()
        self.results: deque[RunT | RetabError] = deque()
        self._woken = asyncio.Event()

    def observe(self, wait: RunWait[RunT], snapshot: Snapshot[RunT], now: float) -> None:
        """Record a successful poll of one of the waits."""
        if wait.result is None:
            if wait.observe(snapshot, now):
                self.changes.append(snapshot.run)
            self._settle(wait)

    def fail(self, wait: RunWait[RunT], error: RetabError, now: float) -> None:
        """Record a failed poll of one of the waits."""
        if wait.result is None:
            wait.fail(error, now)
            self._settle(wait)

    def fail_wait(self, wait: RunWait[RunT], error: RetabError) -> None:
        """End one of the waits with an error."""
        wait.result = error
        self._settle(wait)

    def wake(self) -> None:
        """End the pause of the task that waits."""
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        """Wait until woken, for at most that many seconds."""
        self._woken.clear()
        # A timer cancels nothing, so that no cancellation can be mistaken for another.
        timer = asyncio.get_running_loop().call_later(seconds, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

    def _settle(self, wait: RunWait[RunT]) -> None:
        # A closed session has no waits any more, though a list scan may still find one that it had.
        if wait.result is not None and wait.run_id in self.waits:
            del self.waits[wait.run_id]
            self.results.append(wait.result)
        self.wake()
