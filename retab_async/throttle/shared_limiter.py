"""Limiter of one process under a shared rate limit: takes slots from a store, reports them, works alone without it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context
from math import inf
from secrets import token_hex

from retab_async.throttle.slots import NO_DEMAND, Demand, SharedRateLimit, SlotReply, SlotRequest, SlotStore

# Seconds for one exchange, and between two attempts to reach a store that is unavailable.
_EXCHANGE_TIMEOUT = 0.5
# Parts in which the time of an exchange is counted.
_EXCHANGE_STEPS = 5
_ALONE_SECONDS = 2.0
# Seconds after which finished requests, and slots without a waiter, are reported if no exchange is due.
_REPORT_DELAY = 0.02
# Seconds for which a granted slot may be used: longer if the event loop is blocked than its waiters need.
_MAX_UNUSED_SECONDS = 5.0
# Most slots of one exchange: a process that needs hundreds must leave some to the others.
_MAX_SLOTS = 16
# Seconds for which a 429 without a Retry-After, and one with a very long one, holds back all processes.
_SHORT_PAUSE = 0.1
_MAX_PAUSE = 300.0

# A child, so that the command can show these warnings alone.
_logger = logging.getLogger("retab_async.shared_limit")


class SharedLimiter:
    """Limiter of one process under a shared rate limit: a slot of the store for each request.

    While the store is unavailable it limits nothing but this process, to the whole rate limit.

    Args:
        limit: The rate limit.
        store: Store of its slots.
        clock: Monotonic seconds.
        demand: Returns the requests that wait for a slot.
        wake: Makes the first N of them look again.
        forget_learned: Forgets the rate learned from throttling, because the processes did not share the limit.

    Attributes:
        is_alone: Whether the store is unavailable.
    """

    def __init__(  # noqa: PLR0913 - what it needs of its throttle
        self,
        limit: SharedRateLimit,
        store: SlotStore,
        clock: Callable[[], float],
        demand: Callable[[], Demand],
        wake: Callable[[int], None],
        *,
        forget_learned: Callable[[], None],
    ) -> None:
        self.limit = limit
        self.is_alone: bool = False
        self._store, self._clock, self._demand, self._wake = store, clock, demand, wake
        self._forget_learned = forget_learned
        # Drawn on first use: forked processes must not have the same.
        self._name = ""
        self._next_id = 0
        self._epoch = ""
        self._exchanged_at = -inf
        self._free: deque[str] = deque()
        self._granted_at = -inf
        self._in_flight: deque[str] = deque()
        self._finished: deque[tuple[str, float]] = deque()
        self._report: list[tuple[str, float]] = []
        self._closed_until = -inf
        self._must_restore = False
        self._urgent_not_before = self._not_before = -inf
        self._retry_at = self._resumed_at = -inf
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def is_in_use(self, now: float) -> bool:
        """Return whether a request counts now."""
        return bool(self._in_flight) or (bool(self._finished) and now < self._finished[-1][1] + self.limit.per)

    def seconds_until_free(self, now: float) -> float:
        """Return the seconds until the first waiter may be sent, `inf` where an exchange or a response decides it."""
        if self.is_alone:
            if now >= self._retry_at:
                self._start_exchange()
            return self._seconds_alone(now)
        if self._free and now > self._granted_at + _MAX_UNUSED_SECONDS:
            self._release_unused()
        if self._free:
            return 0.0
        not_before = self._urgent_not_before if self._demand().urgent else self._not_before
        if not_before > now:
            return not_before - now
        self._start_exchange()
        return inf

    def closed_seconds(self, now: float) -> float:
        """Return the seconds for which no request can be sent; 0 if an exchange or a response decides it."""
        if self.is_alone:
            seconds = self._seconds_alone(now)
            return 0.0 if seconds == inf else seconds
        return 0.0 if self._free else max(0.0, self._urgent_not_before - now)

    def start(self) -> None:
        """Take a slot for a request that is sent now."""
        self._in_flight.append(self._free.popleft() if self._free else self._new_ids(1)[0])

    def finish(self, now: float) -> None:
        """Count a request as answered or failed; the one that was sent first, since all slots are alike."""
        slot = self._in_flight.popleft()
        self._finished.append((slot, now))
        self._forget_finished(now)
        if self.is_alone:
            self._wake(1)
        else:
            self._report.append((slot, now))
            self._start_timer(_REPORT_DELAY)

    def on_throttled(self, now: float, retry_after: float | None) -> None:
        """Hold back all processes for a Retry-After."""
        pause = _SHORT_PAUSE if retry_after is None else min(retry_after, _MAX_PAUSE)
        self._closed_until = max(self._closed_until, now + pause)
        self._release_unused()
        if not self.is_alone:
            self._start_exchange()

    async def aclose(self) -> None:
        """Release the unused slots, report the finished ones, and close the store, which may be unavailable."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task})
        self._release_unused()
        if self._report and not self.is_alone:
            await self._exchange(NO_DEMAND)
        try:
            # A server that hangs does not end a TLS connection.
            async with asyncio.timeout(_EXCHANGE_TIMEOUT):
                await self._store.aclose()
        except Exception as error:  # noqa: BLE001 - of whatever library the store is: there is nothing left to do
            _logger.debug("the store of the shared rate limit was not closed: %s", type(error).__name__)

    def _seconds_alone(self, now: float) -> float:
        self._forget_finished(now)
        if len(self._in_flight) + len(self._finished) < self.limit.requests:
            return 0.0
        return self._finished[0][1] + self.limit.per - now if self._finished else inf

    def _forget_finished(self, now: float) -> None:
        while self._finished and now >= self._finished[0][1] + self.limit.per:
            self._finished.popleft()

    def _new_ids(self, count: int) -> list[str]:
        self._name = self._name or token_hex(6)
        first, self._next_id = self._next_id, self._next_id + count
        return [f"{self._name}:{number}" for number in range(first, self._next_id)]

    def _release_unused(self) -> None:
        self._report += [(slot, -inf) for slot in self._free]
        self._free.clear()

    @property
    def _is_exchanging(self) -> bool:
        return self._task is not None and not self._task.done()

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None and not (self._is_exchanging or self._is_closed):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        urgent, others, _ = self._demand()
        if not urgent + others or self._clock() > self._granted_at + _MAX_UNUSED_SECONDS:
            self._release_unused()
        if self._report and not self.is_alone:
            self._start_exchange()
        elif self._free:
            self._start_timer(_REPORT_DELAY)

    def _start_exchange(self) -> None:
        if not (self._is_exchanging or self._is_closed):
            # In an empty context: the exchange serves all callers, and belongs to none of their traces.
            exchanges = self._exchange_while_needed()
            self._task = asyncio.get_running_loop().create_task(exchanges, name="retab_async limit", context=Context())
            # Not at the end of the coroutine, which a task that is cancelled before its first step never comes to.
            self._task.add_done_callback(self._on_exchanged)

    async def _exchange_while_needed(self) -> None:
        is_repeated = True
        while is_repeated:
            is_repeated = await self._exchange(self._capped_demand())

    def _on_exchanged(self, _: "asyncio.Task[None]") -> None:
        self._wake(max(1, len(self._free)))
        if self._free or self._report:
            self._start_timer(_REPORT_DELAY)

    def _capped_demand(self) -> Demand:
        if self._free or self.is_alone:
            return NO_DEMAND
        urgent, others, has_calls = self._demand()
        urgent = min(urgent, _MAX_SLOTS)
        return Demand(urgent, min(others, _MAX_SLOTS - urgent), has_calls)

    async def _exchange(self, demand: Demand) -> bool:
        """Make one exchange, and return whether another one is due at once."""
        now = self._clock()
        first_id, total = self._next_id, demand.urgent + demand.others
        # One more than needed: the store may name its content after the first.
        asked = self._new_ids(total + 1)[:total]
        reported, self._report = self._report, []
        closed_until, self._closed_until = self._closed_until, -inf
        if now > self._exchanged_at + self.limit.lease:
            # All that the store knew has expired, and perhaps the store's content with it.
            self._epoch = ""
        request = SlotRequest(
            name=self._name,
            epoch=self._epoch,
            demand=demand,
            first_id=first_id,
            finished=[(slot, now - at) for slot, at in self._restored(now) + reported],
            held=[*self._in_flight, *self._free] if self._must_restore else (),
            closed_seconds=max(0.0, closed_until - now),
        )
        try:
            reply = await self._exchange_in_time(request)
        except Exception as error:  # noqa: BLE001 - of whatever library the store is: requests go on without it
            # The store may have granted the slots nevertheless.
            self._report = [(slot, -inf) for slot in asked] + [each for each in reported if each[1] == -inf]
            self._closed_until = max(self._closed_until, closed_until)
            self._on_unavailable(error)
            return False
        was_alone = self.is_alone
        self._apply(request, reply, asked)
        return was_alone or reply.is_lost or self._closed_until > -inf

    async def _exchange_in_time(self, request: SlotRequest) -> SlotReply:
        exchange = asyncio.create_task(self._store.exchange(request), name="retab_async limit exchange")
        try:
            # In steps: an event loop that is blocked is late for one of them alone, and still gets the reply.
            for _ in range(_EXCHANGE_STEPS):
                done, _ = await asyncio.wait({exchange}, timeout=_EXCHANGE_TIMEOUT / _EXCHANGE_STEPS)
                if done:
                    return exchange.result()
            exchange.cancel()
            # Whatever it raises then is of no use.
            await asyncio.gather(exchange, return_exceptions=True)
            raise TimeoutError
        finally:
            exchange.cancel()

    def _restored(self, now: float) -> list[tuple[str, float]]:
        self._forget_finished(now)
        return list(self._finished) if self._must_restore else []

    def _apply(self, request: SlotRequest, reply: SlotReply, asked: list[str]) -> None:
        now = self._clock()
        if self.is_alone:
            _logger.info("the shared rate limit is available again")
            self._resumed_at = now
        self.is_alone = False
        if now < self._resumed_at + _ALONE_SECONDS + self.limit.per:
            # The API counts the requests of all processes that were or still are alone until then.
            self._forget_learned()
        self._exchanged_at = now
        self._epoch = reply.epoch
        self._must_restore = reply.is_lost
        if reply.granted:
            self._free.extend(asked[: reply.granted])
            self._granted_at = now
        if reply.granted < len(asked):
            self._not_before = now + reply.wait
            self._urgent_not_before = self._not_before if reply.granted < request.demand.urgent else -inf

    def _on_unavailable(self, error: Exception) -> None:
        if not self.is_alone:
            # Its text may contain an address with a password.
            _logger.warning(
                "shared rate limit unavailable (%s): this process keeps to its own limit", type(error).__name__
            )
        self.is_alone = self._must_restore = True
        self._retry_at = self._clock() + _ALONE_SECONDS
        self._report += [(slot, -inf) for slot in self._free]
        self._free.clear()
