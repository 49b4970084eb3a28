"""A world in which time is made up: an event loop that jumps to its next timer, and servers that enforce limits."""

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from retab_async.throttle import BulkLimiter, RateLimit, Throttle

Clock = Callable[[], float]


class _Jump(selectors.SelectSelector):
    """Waits for nothing: the time that would have passed is noted instead."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everybody waits and nothing will come")  # noqa: EM101, TRY003
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only where everybody waits."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def in_virtual_time(story: Callable[[Clock], Coroutine[Any, Any, Any]]) -> Any:
    """Run what is told the clock, to its end."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(story(loop.time))


class Rolling:
    """Admits so many in any stretch of a length; refused ones do not count."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._admitted: deque[float] = deque()

    def refuse(self, now: float) -> float:
        """Admit and return 0, or return the seconds until the next could be."""
        while self._admitted and now - self._admitted[0] >= self.per:
            self._admitted.popleft()
        if len(self._admitted) >= self.requests:
            return self._admitted[0] + self.per - now
        self._admitted.append(now)
        return 0.0

    def least(self, count: int) -> float:
        return (count - 1) // self.requests * self.per


class Bucket:
    """Holds so many tokens and gains them evenly."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._tokens, self._seen = float(requests), 1000.0

    def refuse(self, now: float) -> float:
        rate = self.requests / self.per
        self._tokens = min(self.requests, self._tokens + (now - self._seen) * rate)
        self._seen = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0

    def least(self, count: int) -> float:
        return max(0, count - self.requests) * self.per / self.requests


class Fixed:
    """Admits so many in each stretch of the calendar, which began a part of its length ago."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._stretch, self._admitted = -1, 0

    def refuse(self, now: float) -> float:
        begun = (now - 1000) / self.per + self.phase
        if math.floor(begun) != self._stretch:
            self._stretch, self._admitted = math.floor(begun), 0
        if self._admitted >= self.requests:
            return (self._stretch + 1 - begun) * self.per
        self._admitted += 1
        return 0.0

    def least(self, count: int) -> float:
        stretches = (count - 1) // self.requests
        return (stretches - self.phase) * self.per if stretches else 0.0


class Course(NamedTuple):
    """How a job went."""

    seconds: float
    succeeded: int
    refused: int
    least: float
    stats: Any

    @property
    def part_of_possible(self) -> float:
        return self.least / self.seconds

    @property
    def refusals_a_success(self) -> float:
        return self.refused / self.succeeded


class Job(NamedTuple):
    """So many requests by so many workers, a round trip of about `latency` seconds from a server of a make."""

    make: type[Any]
    requests: int
    per: float
    sends: int
    told: str = "no"
    phase: float = 0.0
    workers: int = 64
    latency: float = 0.1
    seed: int = 1
    rate_limit: RateLimit | None = None

    def run(self) -> Course:
        course: Course = in_virtual_time(self._story)
        return course

    async def _story(self, clock: Clock) -> Course:
        dice = random.Random(self.seed)
        server = self.make(self.requests, self.per, self.phase)
        pace = Throttle(clock)
        lane = BulkLimiter(pace, self.workers, self.rate_limit)
        left = iter(range(self.sends))
        refused = 0
        began = clock()

        async def send() -> bool:
            nonlocal refused
            passage = lane.try_acquire() or await lane.acquire()
            if not pace.is_unthrottled and not pace.queue.try_pass():
                await pace.queue.wait_turn()
            sent = pace.on_sent()
            if passage.is_at_gate:
                passage.mark_sent()
            await asyncio.sleep(self.latency * dice.uniform(0.3, 0.8))
            wait = server.refuse(clock())
            await asyncio.sleep(self.latency * dice.uniform(0.3, 0.8))
            pace.on_done(sent)
            if wait:
                refused += 1
                told = {"no": None, "whole": float(math.ceil(wait)), "exact": wait}[self.told]
                pace.on_throttled(sent, told, is_rate_limited=True)
                passage.on_throttled()
            else:
                pace.on_response(sent, is_success=True)
            passage.release(is_success=not wait)
            return not wait

        async def work() -> None:
            for _ in left:
                while not await send():
                    pass

        async with asyncio.TaskGroup() as crew:
            for _ in range(self.workers):
                crew.create_task(work())
        return Course(clock() - began, self.sends, refused, server.least(self.sends), pace.stats())
