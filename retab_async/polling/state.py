"""The state of those who wait: a seat for each run, and the party of all seats of one call. No I/O in here."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import attrs

from retab_async.errors import NotFoundError, ResponseError, ResponseTooLargeError, RetabError
from retab_async.models import Run
from retab_async.retry import is_transient, retry_after_of

SeenT = TypeVar("SeenT", bound=Run)
SeenT_co = TypeVar("SeenT_co", bound=Run, covariant=True)


class RawPage(NamedTuple):
    """One page of a list as it came: its rows, the cursor of the next page, and the server's hint."""

    rows: Sequence[Any]
    after: str | None = None
    hint: float | None = None


class Snapshot(NamedTuple, Generic[SeenT]):
    """A run as an answer shows it: `is_whole` with all that there is to know of it, `hint` as in `Reads`."""

    run: SeenT
    is_whole: bool
    hint: float | None = None


class RunSource(Protocol[SeenT_co]):
    """The reads of a collection; a hint is the Retry-After of a 2xx, in seconds."""

    @property
    def is_listed(self) -> bool:
        """Whether there are `rows`."""

    @property
    def has_output(self) -> bool:
        """Whether a look may leave the output out."""

    async def fetch(self, run_id: str, *, include_output: bool) -> tuple[SeenT_co, float | None]:
        """Return a run as it is now, and the hint; raises `RetabError`."""

    async def fetch_raw_page(self, after: str | None) -> RawPage:
        """Return the page of 100 runs, newest first, that comes after a cursor; raises `RetabError`."""

    def read_row(self, row: dict[str, Any]) -> tuple[SeenT_co, bool] | None:
        """Return the run that a row shows and whether it is all of it, or None for a row that cannot be read."""


FIRST = 0.5
GROWTH = 1.5
SPREAD = 0.2
LONGEST = 10.0


def intervals(fixed: float | None, draw: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Give the seconds from each look to the next, without an end: always the same where they are `fixed`."""
    return _growing(draw) if fixed is None else repeat(fixed)


def _growing(draw: Callable[[float, float], float]) -> Iterator[float]:
    middle = FIRST
    while True:
        yield middle * draw(1 - SPREAD, 1 + SPREAD)
        # The spread is taken off the end, so that the longest waits are spread too and none is over the limit.
        middle = min(middle * GROWTH, LONGEST / (1 + SPREAD))


RunT = TypeVar("RunT", bound=Run)

# A run that was just created may not be everywhere yet, and a gateway may say anything once.
_MAX_MISSES = 3


def is_retryable_miss(error: RetabError) -> bool:
    """Tell whether an error ends a wait only when it is met again and again: a 404, or JSON of another shape."""
    return isinstance(error, NotFoundError) or (isinstance(error, ResponseError) and bool(error.path))


def is_fatal(error: RetabError) -> bool:
    """Tell whether a failed look ends the wait at once; a 404, or what a gateway says, may be gone the next time."""
    if isinstance(error, ResponseTooLargeError):
        return True
    return not isinstance(error, NotFoundError | ResponseError) and not is_transient(error)


@attrs.define(eq=False)
class RunWait(Generic[RunT]):
    """One wait for one run; times are of `time.monotonic()`.

    `run` is as it was last seen, `failure` is of the last look, `end` is what the wait came to. One who `wants_output`
    has seen the run terminal; so many of the next looks of one left `alone` are single reads.
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
        """Tell whether the next look is near enough for sharing one now, so that those who share stay together."""
        return self.next_poll <= now + self.interval / 2

    @property
    def is_shareable(self) -> bool:
        """Whether a list can tell what is to be known next."""
        return not self.needs_output and not self.solo_polls

    def observe(self, snapshot: Snapshot[RunT], now: float) -> bool:
        """Note what a look showed; tell whether the status is another one than before."""
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
        """Note that a look failed, which may end the wait."""
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
            # What another's look showed in between is no reason to look more rarely.
            self.interval = next(self._intervals)
        self.next_poll = now + self.interval


class WaitSession(Generic[RunT]):
    """The seats of one call that are not over, and what has come for it: changed runs, and what waits came to."""

    def __init__(self, run_ids: Iterable[str], poll_interval: float | None) -> None:
        self.waits: dict[str, RunWait[RunT]] = {each: RunWait(each, intervals(poll_interval)) for each in run_ids}
        self.changes: deque[RunT] = deque()
        self.results: deque[RunT | RetabError] = deque()
        self._woken = asyncio.Event()

    def observe(self, wait: RunWait[RunT], snapshot: Snapshot[RunT], now: float) -> None:
        """Note what a look at one of the runs showed."""
        if wait.result is None:
            if wait.observe(snapshot, now):
                self.changes.append(snapshot.run)
            self._settle(wait)

    def fail(self, wait: RunWait[RunT], error: RetabError, now: float) -> None:
        """Note that a look at one of the runs failed."""
        if wait.result is None:
            wait.fail(error, now)
            self._settle(wait)

    def fail_wait(self, wait: RunWait[RunT], error: RetabError) -> None:
        """End one of the waits without a run."""
        wait.result = error
        self._settle(wait)

    def wake(self) -> None:
        """Let the task that waits see what is new."""
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        """Wait until something is new, and no longer than that many seconds."""
        self._woken.clear()
        # Nothing is cancelled to end a pause, so there is no cancellation to be taken for another.
        timer = asyncio.get_running_loop().call_later(seconds, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

    def _settle(self, seat: RunWait[RunT]) -> None:
        # Closed, a party has no seats any more, although a sweep may still come upon one that it had.
        if seat.result is not None and seat.run_id in self.waits:
            del self.waits[seat.run_id]
            self.results.append(seat.result)
        self.wake()
