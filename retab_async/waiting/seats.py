"""The state of those who wait: a seat for each run, and the party of all seats of one call. No I/O in here."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import attrs

from retab_async.errors import NotFoundError, ResponseError, RetabError
from retab_async.models import Run
from retab_async.retrying import is_transient
from retab_async.waiting.intervals import intervals
from retab_async.waiting.reading import Sighting

RunT = TypeVar("RunT", bound=Run)

# A run that was just created may not be everywhere yet, and a gateway may say anything once.
_DOUBTS_ENOUGH = 3


def is_doubtful(error: RetabError) -> bool:
    """Tell whether an error ends a wait only when it is met again and again: a 404, or JSON of another shape."""
    return isinstance(error, NotFoundError) or (isinstance(error, ResponseError) and bool(error.path))


def is_final(error: RetabError) -> bool:
    """Tell whether a failed look ends the wait at once; a 404, or what a gateway says, may be gone the next time."""
    return not isinstance(error, NotFoundError | ResponseError) and not is_transient(error)


@attrs.define(eq=False)
class Seat(Generic[RunT]):
    """One wait for one run; times are of `time.monotonic()`.

    `run` is as it was last seen, `failure` is of the last look, `end` is what the wait came to. One who `wants_output`
    has seen the run terminal; so many of the next looks of one left `alone` are single reads.
    """

    run_id: str
    _intervals: Iterator[float]
    due: float = 0.0
    interval: float = 0.0
    run: RunT | None = None
    failure: RetabError | None = None
    end: RunT | RetabError | None = None
    wants_output: bool = False
    alone: int = 0
    _doubts: int = 0

    def is_near(self, now: float) -> bool:
        """Tell whether the next look is near enough for sharing one now, so that those who share stay together."""
        return self.due <= now + self.interval / 2

    @property
    def is_shareable(self) -> bool:
        """Whether a list can tell what is to be known next."""
        return not self.wants_output and not self.alone

    def see(self, sighting: Sighting[RunT], now: float) -> bool:
        """Note what a look showed; tell whether the status is another one than before."""
        run, before = sighting.run, self.run
        self.run, self.failure, self._doubts = run, None, 0
        if not run.status.is_terminal:
            self.wants_output = False
            self._schedule(now, sighting.hint)
        elif sighting.is_whole:
            self.end = run
        else:
            self.wants_output = True
            self.due = now
        return before is None or run.status != before.status

    def fail(self, error: RetabError, now: float) -> None:
        """Note that a look failed, which may end the wait."""
        self.failure = error
        self._doubts = self._doubts + 1 if is_doubtful(error) else 0
        if is_final(error) or self._doubts >= _DOUBTS_ENOUGH:
            self.end = error
            return
        self._schedule(now)
        self.due = max(self.due, now + (getattr(error, "retry_after", None) or 0.0))

    def _schedule(self, now: float, hint: float | None = None) -> None:
        if hint:
            self.interval = hint
        elif self.is_near(now):
            # What another's look showed in between is no reason to look more rarely.
            self.interval = next(self._intervals)
        self.due = now + self.interval


class Party(Generic[RunT]):
    """The seats of one call that are not over, and what has come for it: changed runs, and what waits came to."""

    def __init__(self, run_ids: Iterable[str], poll_interval: float | None) -> None:
        self.seats: dict[str, Seat[RunT]] = {each: Seat(each, intervals(poll_interval)) for each in run_ids}
        self.news: deque[RunT] = deque()
        self.ends: deque[RunT | RetabError] = deque()
        self._woken = asyncio.Event()

    def see(self, seat: Seat[RunT], sighting: Sighting[RunT], now: float) -> None:
        """Note what a look at one of the runs showed."""
        if seat.end is None:
            if seat.see(sighting, now):
                self.news.append(sighting.run)
            self._settle(seat)

    def fail(self, seat: Seat[RunT], error: RetabError, now: float) -> None:
        """Note that a look at one of the runs failed."""
        if seat.end is None:
            seat.fail(error, now)
            self._settle(seat)

    def give_up(self, seat: Seat[RunT], error: RetabError) -> None:
        """End one of the waits without a run."""
        seat.end = error
        self._settle(seat)

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

    def _settle(self, seat: Seat[RunT]) -> None:
        # Closed, a party has no seats any more, although a sweep may still come upon one that it had.
        if seat.end is not None and seat.run_id in self.seats:
            del self.seats[seat.run_id]
            self.ends.append(seat.end)
        self.wake()
