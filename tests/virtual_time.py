"""Virtual time: an event loop that jumps to its next timer, and simulated servers that enforce rate limits."""

import asyncio
import math
import random
import selectors
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal, NamedTuple

from retab_async.throttle import BulkLimiter, RateLimit, Throttle

Clock = Callable[[], float]
START = 1000.0


class _JumpSelector(selectors.SelectSelector):
    """Selector that does not wait: it adds the timeout to the clock instead."""

    now = START

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("every task waits and no timer is set")  # noqa: EM101, TRY003
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Event loop whose time passes only while every task waits."""

    def __init__(self) -> None:
        self._jump_selector = _JumpSelector()
        super().__init__(self._jump_selector)

    def time(self) -> float:
        return self._jump_selector.now

    def be_busy(self, seconds: float) -> None:
        """Let time pass as a call that blocks the loop does."""
        self._jump_selector.now += seconds


def in_virtual_time(scenario: Callable[[Clock], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine function, which is passed the clock, to its end."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scenario(loop.time))


class RollingWindow:
    """Server that accepts N requests in any period; refused ones do not count."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._accepted: deque[float] = deque()

    def refuse(self, now: float) -> float:
        """Accept and return 0, or return the seconds until the next request could be accepted."""
        while self._accepted and now - self._accepted[0] >= self.per:
            self._accepted.popleft()
        if len(self._accepted) >= self.requests:
            return self._accepted[0] + self.per - now
        self._accepted.append(now)
        return 0.0

    def least_seconds(self, count: int) -> float:
        return (count - 1) // self.requests * self.per


class TokenBucket:
    """Server with N tokens that are refilled evenly."""

    def __init__(self, requests: int, per: float, phase: float, size: float | None = None) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self.size = self._tokens = float(size or requests)
        self._updated = START

    def refuse(self, now: float) -> float:
        rate = self.requests / self.per
        self._tokens = min(self.size, self._tokens + (now - self._updated) * rate)
        self._updated = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0

    def least_seconds(self, count: int) -> float:
        return max(0, count - self.size) * self.per / self.requests


class LeakyBucket(TokenBucket):
    """nginx's `limit_req` without delay: a burst of a fifth of the requests, then evenly."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        super().__init__(requests, per, phase, size=requests / 5 + 1)


class FixedWindow:
    """Server that accepts N requests in each window of the calendar, the first of which began before the job."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._window, self._accepted = -1, 0

    def refuse(self, now: float) -> float:
        position = (now - START) / self.per + self.phase
        if math.floor(position) != self._window:
            self._window, self._accepted = math.floor(position), 0
        if self._accepted >= self.requests:
            return (self._window + 1 - position) * self.per
        self._accepted += 1
        return 0.0

    def least_seconds(self, count: int) -> float:
        windows = (count - 1) // self.requests
        return (windows - self.phase) * self.per if windows else 0.0


class StickTable:
    """haproxy's `http_req_rate` with a deny rule: two counters approximate a window, and refused requests count too."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._tick, self._current, self._previous = START - phase * per, 0, 0

    def refuse(self, now: float) -> float:
        if now - self._tick >= self.per:
            is_next = now - self._tick < 2 * self.per
            self._previous, self._current = (self._current if is_next else 0), 0
            self._tick = self._tick + self.per if is_next else now
        self._current += 1
        rate = self._current + self._previous * (1 - (now - self._tick) / self.per)
        # haproxy does not know when the next one would be accepted.
        return self.per if rate > self.requests else 0.0

    def least_seconds(self, count: int) -> float:
        # After a full window the next one accepts its requests evenly, the last of them at its end.
        return (count / self.requests - self.phase) * self.per if count > self.requests else 0.0


class CountingWindow:
    """Server that accepts a request if there were fewer than N in the last period, refused ones included."""

    def __init__(self, requests: int, per: float, phase: float) -> None:
        self.requests, self.per, self.phase = requests, per, phase
        self._last: deque[float] = deque(maxlen=requests)

    def refuse(self, now: float) -> float:
        is_full = len(self._last) == self.requests and now - self._last[0] < self.per
        self._last.append(now)
        return self._last[0] + self.per - now if is_full else 0.0

    def least_seconds(self, count: int) -> float:
        return (count - 1) // self.requests * self.per


class JobResult(NamedTuple):
    """Outcome of a simulated job."""

    seconds: float
    succeeded: int
    refused: int
    least_seconds: float
    stats: Any

    @property
    def efficiency(self) -> float:
        return self.least_seconds / self.seconds

    @property
    def refusals_per_success(self) -> float:
        return self.refused / self.succeeded


class Job(NamedTuple):
    """Simulated bulk job: N requests by some workers, each with a round trip of about `latency` seconds."""

    server: type[Any]
    requests: int
    per: float
    sends: int
    retry_after: Literal["none", "whole", "exact"] = "none"
    phase: float = 0.0
    workers: int = 64
    latency: float = 0.1
    seed: int = 1
    rate_limit: RateLimit | None = None

    def run(self) -> JobResult:
        result: JobResult = in_virtual_time(self._scenario)
        return result

    async def _scenario(self, clock: Clock) -> JobResult:
        server = self.server(self.requests, self.per, self.phase)
        client = self.client(clock, server)
        remaining = iter(range(self.sends))
        started = clock()

        async def work() -> None:
            for _ in remaining:
                while not await client.send():
                    pass

        async with asyncio.TaskGroup() as workers:
            for _ in range(self.workers):
                workers.create_task(work())
        seconds, stats = clock() - started, client.throttle.stats()
        return JobResult(seconds, self.sends, client.refused, server.least_seconds(self.sends), stats)

    def client(self, clock: Clock, server: Any) -> "SimulatedClient":
        return SimulatedClient(self, clock, server)

    def shares_beside(self, seconds: float, start: float, stop: float) -> list[float]:
        """Run two such clients, the second one from `start` to `stop`; return the first one's share of each period."""
        shares: list[float] = in_virtual_time(lambda clock: self._contend(clock, seconds, start, stop))
        return shares

    async def _contend(self, clock: Clock, seconds: float, start: float, stop: float) -> list[float]:
        server = self.server(self.requests, self.per, self.phase)
        one, other = self.client(clock, server), self._replace(seed=self.seed + 1).client(clock, server)

        async def work(client: SimulatedClient, begin: float, end: float) -> None:
            await asyncio.sleep(begin)
            while clock() < START + end:
                await client.send()

        async with asyncio.TaskGroup() as workers:
            for _ in range(self.workers):
                workers.create_task(work(one, 0, seconds))
                workers.create_task(work(other, start, stop))
        counts = Counter(int((when - START) / self.per) for when in one.accepted)
        return [counts[number] / self.requests for number in range(int(seconds / self.per))]


class SimulatedClient:
    """Client with its own throttle, and a bulk job on it.

    Attributes:
        accepted: When each accepted request was answered.
        refused: Number of refused requests.
    """

    def __init__(self, job: Job, clock: Clock, server: Any) -> None:
        self.throttle = Throttle(clock)
        self.accepted: list[float] = []
        self.refused = 0
        self._job, self._clock, self._server = job, clock, server
        self._dice = random.Random(job.seed)
        self._limiter = BulkLimiter(self.throttle, job.workers, job.rate_limit)

    async def send(self) -> bool:
        """Send one request, and return whether it was accepted."""
        throttle, latency, dice = self.throttle, self._job.latency, self._dice
        permit = self._limiter.try_acquire() or await self._limiter.acquire()
        if not throttle.is_unthrottled and not throttle.queue.try_pass():
            await throttle.queue.wait_turn()
        sent = throttle.on_sent()
        if permit.is_at_gate:
            permit.mark_sent()
        await asyncio.sleep(latency * dice.uniform(0.3, 0.8))
        wait = self._server.refuse(self._clock())
        await asyncio.sleep(latency * dice.uniform(0.3, 0.8))
        if wait:
            self.refused += 1
            retry_after = {"none": None, "whole": float(math.ceil(wait)), "exact": wait}[self._job.retry_after]
            throttle.on_throttled(sent, retry_after, is_rate_limited=True)
            permit.on_throttled()
        else:
            throttle.on_response(sent, is_success=True)
            self.accepted.append(self._clock())
        permit.release(is_success=not wait)
        return not wait
