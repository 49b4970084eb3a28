"""State of waits: when each polls next, and what has come of it. No I/O in here."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from math import inf
from typing import Generic, TypeVar

import attrs

from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    NotFoundError,
    RequestError,
    ResponseError,
    ResponseTooLargeError,
    RetabError,
    WaitTimeoutError,
)
from retab_async.models import Run
from retab_async.polling.source import Snapshot
from retab_async.retry import is_transient, retry_after_of

RunT = TypeVar("RunT", bound=Run)

# Seconds between two polls: at first, factor of growth, relative jitter, and at most.
_FIRST_INTERVAL = 0.5
_GROWTH = 1.5
_JITTER = 0.2
_MAX_INTERVAL = 10.0
# Seconds: a longer hint of the server is not believed.
_MAX_HINT = 300.0
# Failed polls in a row that end a wait: 404s, and identical unreadable responses. A single one may come from a gateway,
# or from a replica that lags behind.
_MAX_NOT_FOUND = 3
_MAX_MISMATCHES = 3
_MAX_UNREADABLE = 5


def intervals(fixed: float | None, draw: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Yield the seconds from each poll to the next: the `fixed` ones, or growing ones with jitter."""
    return _growing(draw) if fixed is None else repeat(fixed)


def _growing(draw: Callable[[float, float], float]) -> Iterator[float]:
    mean = _FIRST_INTERVAL
    while True:
        yield mean * draw(1 - _JITTER, 1 + _JITTER)
        # So that the longest intervals have their jitter too, and none is above the maximum.
        mean = min(mean * _GROWTH, _MAX_INTERVAL / (1 + _JITTER))


def max_repeats(error: RetabError) -> float:
    """Return how many times in a row an error ends a wait: 1 for a refusal, `inf` for what a wait outlasts."""
    if isinstance(error, NotFoundError):
        return _MAX_NOT_FOUND
    if isinstance(error, ResponseTooLargeError):
        return 1
    if isinstance(error, ResponseError):
        return _MAX_MISMATCHES if error.path else _MAX_UNREADABLE
    # An `APITimeoutError` that is not transient is the deadline of one poll, not of the wait.
    if is_transient(error) or isinstance(error, APITimeoutError):
        return inf
    if isinstance(error, APIError):
        return 1 if 400 <= error.status_code < 500 else inf
    # A certificate that is not trusted, for one.
    return _MAX_UNREADABLE if isinstance(error, APIConnectionError) else 1


def _is_same(error: RetabError, before: RetabError | None) -> bool:
    if isinstance(error, NotFoundError):
        return isinstance(before, NotFoundError)
    if not (isinstance(error, RequestError) and isinstance(before, RequestError)):
        return False
    return type(error) is type(before) and error.message == before.message


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
        polled_at: When the last poll ended, `-inf` before the first.
        retry_after_until: When a Retry-After of a failed poll ends, `-inf` where there is none.
    """

    run_id: str
    _intervals: Iterator[float]
    _takes_hints: bool = True
    _not_found_until: float = -inf
    next_poll: float = 0.0
    interval: float = 0.0
    run: RunT | None = None
    failure: RetabError | None = None
    result: RunT | RetabError | None = None
    needs_output: bool = False
    solo_polls: int = 0
    polled_at: float = -inf
    retry_after_until: float = -inf
    _repeats: int = 0

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
        self.run, self.failure, self._repeats = run, None, 0
        self.polled_at, self.retry_after_until = now, -inf
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
        self._repeats = self._repeats + 1 if _is_same(error, self.failure) else 1
        self.failure = error
        self.polled_at = now
        if self._repeats >= max_repeats(error) and not self._may_not_be_visible(error, now):
            self.result = error
            return
        self._schedule(now)
        self.retry_after_until = now + retry_after_of(error)
        self.next_poll = max(self.next_poll, self.retry_after_until)

    def timed_out(self, timeout: float, now: float) -> RetabError:
        """Return the error for a wait without a result after `timeout` seconds."""
        failure = self.failure
        if self.run is None and isinstance(failure, NotFoundError) and not self._may_not_be_visible(failure, now):
            return failure
        error = WaitTimeoutError(run_id=self.run_id, timeout=timeout, run=self.run)
        error.__cause__ = failure
        return error

    def _may_not_be_visible(self, error: RetabError, now: float) -> bool:
        return isinstance(error, NotFoundError) and now < self._not_found_until

    def _schedule(self, now: float, hint: float | None = None) -> None:
        if hint and self._takes_hints:
            self.interval = min(hint, _MAX_HINT)
        elif self.is_due_soon(now):
            # A response to another wait in between is no reason to poll less often.
            self.interval = next(self._intervals)
        self.next_poll = now + self.interval


class WaitSession(Generic[RunT]):
    """Waits of one call, and the events that its caller has not taken yet.

    Args:
        run_ids: Ids of the runs; repeated ones count once.
        poll_interval: Seconds between two polls, whatever the server hints; None for growing intervals or its hints.
        not_found_until: Returns until when, in `time.monotonic()`, the run with an id may not be visible yet.

    Attributes:
        waits: Waits without a result, by run id.
        changes: Runs with a changed status.
        results: What ended waits.
    """

    def __init__(
        self,
        run_ids: Iterable[str],
        poll_interval: float | None,
        not_found_until: Callable[[str], float] = lambda _: -inf,
    ) -> None:
        takes_hints = poll_interval is None
        self.waits: dict[str, RunWait[RunT]] = {
            run_id: RunWait(run_id, intervals(poll_interval), takes_hints, not_found_until(run_id))
            for run_id in dict.fromkeys(run_ids)
        }
        self.changes: deque[RunT] = deque()
        self.results: deque[RunT | RetabError] = deque()
        self._woken = asyncio.Event()

    def observe(self, wait: RunWait[RunT], snapshot: Snapshot[RunT], now: float) -> None:
        """Record a successful poll of one of the waits."""
        if wait.result is None:
            due = wait.next_poll
            if wait.observe(snapshot, now):
                self.changes.append(snapshot.run)
                self.wake()
            elif wait.next_poll < due:
                self.wake()
            self._settle(wait)

    def fail(self, wait: RunWait[RunT], error: RetabError, now: float) -> None:
        """Record a failed poll of one of the waits."""
        if wait.result is None:
            wait.fail(error, now)
            self._settle(wait)

    def poll_once_more(self, now: float) -> None:
        """Make the waits due, but for those that a Retry-After still holds back."""
        for wait in self.waits.values():
            if wait.retry_after_until <= now:
                wait.next_poll = min(wait.next_poll, now)

    def is_polled_since(self, since: float) -> bool:
        """Return whether no wait needs a poll any more that `poll_once_more` made due at that time."""
        waits = (wait for wait in self.waits.values() if wait.retry_after_until <= since)
        return all(wait.polled_at >= since and not wait.needs_output for wait in waits)

    def time_out(self, timeout: float, now: float) -> None:
        """End the waits without a result after `timeout` seconds."""
        for wait in list(self.waits.values()):
            wait.result = wait.timed_out(timeout, now)
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
