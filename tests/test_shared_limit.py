"""Rate limit shared by processes: its algorithm, and each process under it, in virtual time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import Clock, RollingWindow, VirtualLoop, in_virtual_time

from retab_async import ConfigurationError, RateLimit, SharedRateLimit
from retab_async.throttle import BulkLimiter, Priority, SlotReply, SlotRequest, SlotStore, Throttle
from retab_async.throttle.rate_limit import LocalLimiter
from retab_async.throttle.shared_limiter import SharedLimiter
from retab_async.throttle.slots import Demand, SlotTable, reserve_of
from retab_async.throttle.throttle import Stats

CALL, URGENT, BULK = Priority.CALL, Priority.URGENT, Priority.BULK


class MemoryLimit(SharedRateLimit):
    """Limit shared in memory; each exchange takes `delay` seconds, fails with `failure`, or never ends."""

    def __init__(
        self, requests: int, *, per: float, clock: Clock, delay: float = 0.001, lease: float | None = None
    ) -> None:
        super().__init__(requests, per=per, lease=lease)
        self.table = SlotTable()
        self.clock = clock
        self.delay = delay
        self.failure: Exception | None = None
        self.hangs = False
        self.close_failure: Exception | None = None
        self.exchanges: list[SlotRequest] = []
        self.closed = 0

    def open_store(self, fingerprint: str) -> SlotStore:  # noqa: ARG002 - one credential
        return _MemoryStore(self)


class _MemoryStore:
    def __init__(self, limit: MemoryLimit) -> None:
        self.limit = limit

    async def exchange(self, request: SlotRequest) -> SlotReply:
        limit = self.limit
        limit.exchanges.append(request)
        await asyncio.sleep(limit.delay / 2)
        if limit.hangs:
            try:
                await asyncio.sleep(inf)
            finally:
                if limit.failure is not None:
                    raise limit.failure
        if limit.failure is not None:
            raise limit.failure
        reply = limit.table.exchange(limit, request, limit.clock())
        await asyncio.sleep(limit.delay / 2)
        return reply

    async def aclose(self) -> None:
        self.limit.closed += 1
        if self.limit.close_failure is not None:
            raise self.limit.close_failure
        if self.limit.hangs:
            await asyncio.sleep(inf)


class Process:
    """One process: a throttle, and a server that all of them send to."""

    def __init__(self, clock: Clock, limit: MemoryLimit, server: RollingWindow, seed: int = 1) -> None:
        self.clock = clock
        self.server = server
        self.throttle = Throttle(clock, limit, "fingerprint")
        self.dice = random.Random(seed)
        self.sent_at: list[float] = []
        self.refused = 0

    @property
    def limiter(self) -> SharedLimiter:
        assert isinstance(self.throttle.given, SharedLimiter)
        return self.throttle.given

    async def send(self, priority: Priority = CALL, latency: float = 0.01) -> None:
        """Send one request in its turn; raise `AssertionError` if the server refuses it."""
        await self.throttle.wait_turn(inf, priority)
        sent = self.throttle.on_sent()
        try:
            self.sent_at.append(sent)
            await asyncio.sleep(latency * self.dice.uniform(0.3, 0.7))
            self.refused += self.server.refuse(self.clock()) > 0
            await asyncio.sleep(latency * self.dice.uniform(0.3, 0.7))
            self.throttle.on_response(sent, is_success=True)
        except asyncio.CancelledError:
            self.throttle.on_lost()
            raise

    async def cancel_many(self, count: int, latency: float = 0.01) -> None:
        """Send as a bulk job does."""
        limiter = BulkLimiter(self.throttle, 64, None)
        remaining = iter(range(count))

        async def work() -> None:
            for _ in remaining:
                permit = limiter.try_acquire() or await limiter.acquire()
                permit.mark_sent()
                await self.send(BULK, latency)
                permit.release(is_success=True)

        async with asyncio.TaskGroup() as workers:
            for _ in range(64):
                workers.create_task(work())

    async def fill(self, count: int, priority: Priority = CALL) -> None:
        """Send some requests at once."""
        async with asyncio.TaskGroup() as calls:
            for _ in range(count):
                calls.create_task(self.send(priority))


Scenario = Callable[[Clock, MemoryLimit, list[Process]], Awaitable[Any]]


def run(scenario: Scenario, processes: int = 2, requests: int = 20, per: float = 2.0, **options: Any) -> Any:
    """Run a scenario with several processes under one limit, which the server enforces."""

    async def in_time(clock: Clock) -> Any:
        limit = MemoryLimit(requests, per=per, clock=clock, **options)
        server = RollingWindow(requests, per, 0)
        return await scenario(clock, limit, [Process(clock, limit, server, seed) for seed in range(processes)])

    return in_virtual_time(in_time)


async def seconds(clock: Clock, call: Awaitable[Any]) -> float:
    started = clock()
    await call
    return clock() - started


class TestSharing:
    @pytest.mark.slow
    @pytest.mark.parametrize("delay", [0.0005, 0.005])
    @pytest.mark.parametrize("counts", [(600, 600, 600, 600), (2100, 100, 100, 100)])
    def test_four_bulk_jobs_use_the_limit_almost_fully_without_a_refusal(
        self, counts: tuple[int, ...], delay: float
    ) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            started = clock()
            async with asyncio.TaskGroup() as jobs:
                for process, count in zip(processes, counts, strict=True):
                    jobs.create_task(process.cancel_many(count))

            assert sum(process.refused for process in processes) == 0
            assert processes[0].server.least_seconds(sum(counts)) / (clock() - started) >= 0.97

        run(scenario, 4, 200, delay=delay)

    @settings(max_examples=30, deadline=None)
    @given(
        requests=st.integers(1, 40),
        per=st.floats(0.5, 20),
        delay=st.floats(0.0001, 0.2),
        latency=st.floats(0.001, 3),
        sends=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(list(Priority)), st.floats(0, 5)), max_size=120),
    )
    def test_limit_is_never_exceeded_in_any_window(
        self,
        requests: int,
        per: float,
        delay: float,
        latency: float,
        sends: list[tuple[int, Priority, float]],
    ) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            async def send(process: Process, priority: Priority, after: float) -> None:
                await asyncio.sleep(after)
                await process.send(priority, latency)

            async with asyncio.TaskGroup() as calls:
                for which, priority, after in sends:
                    calls.create_task(send(processes[which], priority, after))
            sent = sorted(when for process in processes for when in process.sent_at)

            assert len(sent) == len(sends)
            assert sum(process.refused for process in processes) == 0
            assert all(later - earlier > per for earlier, later in zip(sent, sent[requests:], strict=False))

        run(scenario, 3, requests, per, delay=delay)

    def test_process_asks_for_no_more_slots_than_callers_are_waiting(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await processes[0].send()
            await processes[0].fill(5)

            assert [sum(each.demand[:2]) for each in limit.exchanges if sum(each.demand[:2])] == [1, 5]

        run(scenario)

    def test_slot_of_a_cancelled_caller_is_released_for_others(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            waiting = asyncio.create_task(processes[0].send())
            await asyncio.sleep(0.0001)
            waiting.cancel()
            await asyncio.sleep(0.1)

            assert limit.table.slots == {}
            assert await seconds(clock, processes[1].send()) < 0.1

        run(scenario, requests=1)

    def test_slot_is_kept_while_its_request_is_in_flight_and_a_period_after_it(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            slow = asyncio.create_task(processes[0].send(latency=10))
            await asyncio.sleep(0.1)
            waited = await seconds(clock, processes[1].send())
            await slow

            # The slow one takes 3 s to 7 s.
            assert processes[1].sent_at[0] >= processes[0].sent_at[0] + 2 + 6
            assert waited < 15

        run(scenario, requests=1)

    def test_retry_after_of_one_process_holds_back_all(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one, other = processes
            sent = await refused(one, 3.0)
            await asyncio.sleep(0.1)
            await other.send()

            assert other.sent_at[0] >= sent + 3

        run(scenario)

    def test_retry_after_during_an_exchange_is_reported_after_it(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one = processes[0]
            await one.throttle.wait_turn(inf, CALL)
            sent = one.throttle.on_sent()
            second = asyncio.create_task(one.send())
            await asyncio.sleep(0.0002)
            one.throttle.on_throttled(sent, None, is_rate_limited=True)
            await asyncio.sleep(0.01)

            assert limit.table.closed_until > clock() + 0.05
            await second

        run(scenario)


async def learn(process: Process) -> None:
    """Learn a rate from a refusal."""
    await process.fill(4)
    await refused(process, 0.3)
    await process.send()


async def refused(process: Process, retry_after: float) -> float:
    """Send a request that is answered 429, and return when."""
    await process.throttle.wait_turn(inf, CALL)
    sent = process.throttle.on_sent()
    process.throttle.on_throttled(sent, retry_after, is_rate_limited=True)
    return sent


class TestReserve:
    @pytest.mark.parametrize(("requests", "reserve"), [(1, 0), (9, 0), (10, 1), (33, 1), (200, 6), (300, 9)])
    def test_reserve_is_a_few_per_cent(self, requests: int, reserve: int) -> None:
        assert reserve_of(requests) == reserve

    def test_single_cancel_is_sent_though_calls_have_used_the_limit(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one, other = processes
            calls = asyncio.create_task(one.fill(120))
            bulk = asyncio.create_task(other.cancel_many(50))
            await asyncio.sleep(1)
            assert len(one.sent_at) + len(other.sent_at) == 97
            assert await seconds(clock, one.send(URGENT)) < 0.1
            assert await seconds(clock, other.send(URGENT)) < 0.1
            await asyncio.gather(calls, bulk)
            assert one.refused + other.refused == 0

        run(scenario, requests=100, per=60.0)

    def test_bulk_cancels_use_the_reserve_where_there_are_no_calls(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await asyncio.gather(*(process.cancel_many(50) for process in processes))

            assert max(process.sent_at[-1] for process in processes) < processes[0].sent_at[0] + 1

        run(scenario, requests=100, per=60.0)

    def test_local_limit_keeps_a_reserve_too(self) -> None:
        async def scenario(clock: Clock) -> None:
            process = Process(clock, MemoryLimit(1, per=1, clock=clock), RollingWindow(100, 60.0, 0))
            process.throttle = Throttle(clock, RateLimit(100, per=60))
            calls = asyncio.create_task(process.fill(120))
            await asyncio.sleep(1)
            assert len(process.sent_at) == 97
            assert await seconds(clock, process.fill(3, URGENT)) < 0.1
            late = asyncio.create_task(process.send(URGENT))
            await asyncio.sleep(1)
            assert not late.done()
            await asyncio.gather(calls, late)
            assert process.refused == 0

        in_virtual_time(scenario)


class TestFailures:
    def test_killed_process_costs_its_slots_for_one_lease(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            killed, other = processes
            calls = [asyncio.create_task(killed.send(latency=1e6)) for _ in range(10)]
            await asyncio.sleep(0.1)
            await other.fill(8)
            last = asyncio.create_task(other.fill(10))
            await asyncio.sleep(6)
            assert len(other.sent_at) == 16
            await last

            assert other.sent_at[-1] == pytest.approx(killed.sent_at[0] + 7, abs=0.1)
            for call in calls:
                call.cancel()

        run(scenario, requests=19, per=5.0, lease=7.0)

    @pytest.mark.parametrize("failure", [ConnectionError("redis://:secret@host"), RuntimeError("whatever")])
    def test_unavailable_store_lets_each_process_go_on_by_itself(
        self, failure: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            limit.failure = failure
            one, other = processes
            assert await seconds(clock, one.fill(20)) < 0.1
            assert origin(one) == "given"
            # The limit of all is that of each, as far as it knows.
            assert one.throttle.closed_seconds() == pytest.approx(2, abs=0.1)
            assert await seconds(clock, one.send()) == pytest.approx(2, abs=0.1)
            assert await seconds(clock, other.fill(20)) < 0.1
            await asyncio.sleep(10)
            assert len(limit.exchanges) <= 4

        run(scenario)
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("failure", [None, ConnectionError()], ids=["cancelled", "fails when cancelled"])
    def test_hanging_store_delays_one_call_for_half_a_second(self, failure: Exception | None) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            limit.hangs, limit.failure = True, failure
            process = processes[0]
            assert await seconds(clock, process.send()) == pytest.approx(0.5, abs=0.05)
            for _ in range(30):
                assert await seconds(clock, process.send()) < 0.1
                await asyncio.sleep(0.2)
            assert len(limit.exchanges) == 3

        run(scenario)

    def test_blocked_event_loop_is_no_unavailable_store(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            call = asyncio.create_task(processes[0].send())
            await asyncio.sleep(0.0001)
            loop.be_busy(3)
            await call
            assert origin(processes[0]) == "shared"

        run(scenario)
        assert caplog.messages == []

    def test_sharing_resumes_by_itself_with_all_requests_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one, other = processes
            limit.failure = ConnectionError()
            await one.fill(15)
            slow = asyncio.create_task(one.send(latency=10))
            limit.failure = None
            await asyncio.sleep(2)
            await one.send()
            await asyncio.sleep(0.1)
            assert origin(one) == "shared"
            # 15 have left the window, one is in flight.
            assert len(limit.table.slots) == 2
            await other.fill(17)
            assert await seconds(clock, other.send()) > 1
            await slow

        with caplog.at_level("INFO"):
            run(scenario)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]

    def test_rate_learned_without_the_store_is_forgotten_when_sharing_resumes(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one = processes[0]
            estimate = one.throttle.limiter.estimate
            limit.failure = ConnectionError()
            await one.fill(10)
            await learn(one)
            assert estimate.rate is not None
            limit.failure = None
            await asyncio.sleep(2)
            await one.fill(2)
            assert origin(one) == "shared"
            assert estimate.rate is None
            # The other process has not noticed yet, and its requests count for another period.
            await learn(one)
            await one.fill(2)
            assert estimate.rate is None
            await asyncio.sleep(4)
            await learn(one)
            await one.fill(2)
            assert estimate.rate is not None

        run(scenario)

    def test_emptied_store_learns_the_slots_of_all_processes_again(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            one, other = processes
            await asyncio.gather(one.fill(9), other.fill(9))
            in_flight = asyncio.create_task(one.send(latency=50))
            await asyncio.sleep(1)
            limit.table = SlotTable()
            jobs = [asyncio.create_task(process.cancel_many(40)) for process in processes]
            await asyncio.sleep(1)
            # For two seconds the processes only report.
            assert len(one.sent_at) + len(other.sent_at) == 19
            assert len(limit.table.slots) == 19
            await asyncio.gather(*jobs, in_flight)
            sent = sorted(one.sent_at + other.sent_at)

            assert all(later - earlier > 10 for earlier, later in zip(sent, sent[20:], strict=False))
            assert one.refused + other.refused == 0

        run(scenario, per=10.0)

    def test_store_emptied_twice_has_a_new_epoch_each_time(self) -> None:
        table, limit = SlotTable(), MemoryLimit(2, per=1, clock=lambda: 0)
        epochs = set()
        for number in range(3):
            table = SlotTable()
            epochs.add(table.exchange(limit, SlotRequest(name="a", epoch="", first_id=number), 1.0).epoch)

        assert len(epochs) == 3

    def test_restored_slot_of_a_request_in_flight_counts_for_a_lease(self) -> None:
        table, limit = SlotTable(), MemoryLimit(2, per=1, clock=lambda: 0, lease=7)
        table.exchange(limit, SlotRequest(name="a", epoch="", held=["a:0"]), 1.0)

        assert table.slots == {"a:0": 8.0}

    def test_long_idle_process_does_not_pause_for_an_expired_store(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await processes[0].send()
            await asyncio.sleep(100)
            limit.table = SlotTable()

            assert await seconds(clock, processes[0].send()) < 0.1

        run(scenario)

    def test_slots_that_a_blocked_loop_did_not_use_in_time_are_dropped(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            process.limiter._free.append("stale")
            process.limiter._granted_at = clock() - 60
            await process.send()
            await asyncio.sleep(0.1)

            assert "stale" not in limit.table.slots
            assert len(limit.table.slots) == 1

        run(scenario)

    def test_slots_that_a_waiter_does_not_take_are_released(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            process.limiter._free.append("unused")
            process.limiter._granted_at = clock()
            process.throttle._waiting[BULK] = 1
            process.limiter._start_timer(0.1)
            await asyncio.sleep(4)
            assert limit.exchanges == []
            await asyncio.sleep(2)

            assert [("unused", inf)] == [*limit.exchanges[0].finished]

        run(scenario)

    def test_retry_after_without_a_store_is_kept_for_it(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            limit.failure = ConnectionError()
            sent = await refused(processes[0], 20.0)
            limit.failure = None
            await processes[0].send()

            assert processes[0].sent_at[0] >= sent + 20
            assert processes[0].throttle.is_kept()

        run(scenario)

    def test_slots_behind_a_closed_gate_are_released(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            await process.throttle.wait_turn(inf, CALL)
            sent = process.throttle.on_sent()
            calls = [asyncio.create_task(process.send()) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            process.throttle.limiter.on_throttled(sent, clock(), 30.0, is_rate_limited=True)
            process.throttle._is_adapting = True
            process.throttle.on_lost()
            await asyncio.sleep(10)

            assert [until for until in limit.table.slots.values() if until > clock()] == []
            for call in calls:
                call.cancel()

        run(scenario)


class TestClosing:
    def test_aclose_reports_all_and_leaves_no_task(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            await process.fill(3)
            waiting = asyncio.create_task(process.send())
            await asyncio.sleep(0.0001)
            waiting.cancel()
            await process.limiter.aclose()

            assert [until <= clock() + 2 for until in limit.table.slots.values()] == [True] * 3
            assert limit.closed == 1
            assert timers_of(process.limiter) == []
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        run(scenario)

    def test_aclose_of_an_unused_or_unavailable_limit_asks_nothing(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await processes[0].limiter.aclose()
            limit.failure = ConnectionError()
            await processes[1].send()
            exchanges = len(limit.exchanges)
            await processes[1].limiter.aclose()

            assert len(limit.exchanges) == exchanges == 1

        run(scenario)

    def test_aclose_with_finished_requests_leaves_no_timer(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            limiter = processes[0].limiter
            await processes[0].send()
            assert timers_of(limiter) != []
            await limiter.aclose()

            assert timers_of(limiter) == []

        run(scenario)

    @pytest.mark.parametrize("failure", [None, OSError("redis://:secret@host")], ids=["hangs", "fails"])
    def test_store_that_cannot_be_closed_delays_aclose_for_half_a_second_at_most(
        self, failure: Exception | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await processes[0].send()
            await asyncio.sleep(0.1)
            limit.hangs, limit.close_failure = failure is None, failure

            assert await seconds(clock, processes[0].limiter.aclose()) <= 0.5

        with caplog.at_level("DEBUG"):
            run(scenario)
        name = type(failure or TimeoutError()).__name__
        assert f"the store of the shared rate limit was not closed: {name}" in caplog.messages
        assert "secret" not in caplog.text

    def test_aclose_waits_for_no_exchange_of_an_event_loop_that_has_ended(self) -> None:
        limit = MemoryLimit(3, per=2, clock=time.monotonic)
        limiter = Throttle(time.monotonic, limit, "fingerprint").given
        assert isinstance(limiter, SharedLimiter)

        async def end_before_the_exchange_begins() -> None:
            # A task that is cancelled before its first step runs nothing that would forget it.
            asyncio.get_running_loop().call_soon(limiter._start_exchange)

        asyncio.run(end_before_the_exchange_begins())
        assert limiter._task is not None
        asyncio.run(asyncio.wait_for(limiter.aclose(), 60))

        assert (limit.exchanges, limit.closed) == ([], 1)

    def test_exchange_that_is_cancelled_before_it_begins_is_followed_by_another(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            call = asyncio.create_task(process.send())
            await asyncio.sleep(0)
            assert process.limiter._task is not None
            assert limit.exchanges == []
            process.limiter._task.cancel()

            await asyncio.wait_for(call, 10)
            assert len(limit.exchanges) == 1

        run(scenario)

    def test_response_after_aclose_starts_nothing(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            process = processes[0]
            slow = asyncio.create_task(process.send(latency=10))
            await asyncio.sleep(0.1)
            await process.limiter.aclose()
            exchanges = len(limit.exchanges)
            await slow
            await asyncio.sleep(1)

            assert len(limit.exchanges) == exchanges
            assert process.limiter.seconds_until_free(clock()) == inf

        run(scenario)


def timers_of(limiter: SharedLimiter) -> list[asyncio.TimerHandle]:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if timer._callback == limiter._on_timer and not timer.cancelled()]


class TestStats:
    def test_limit_in_force_is_shared(self) -> None:
        async def scenario(clock: Clock, limit: MemoryLimit, processes: list[Process]) -> None:
            await processes[0].send()

            stats = processes[0].throttle.stats()
            assert (stats.rate, stats.rate_origin) == (10.0, "shared")
            assert not processes[0].throttle.is_unthrottled

        run(scenario)

    async def test_lower_limit_of_a_bulk_job_is_in_force(self) -> None:
        throttle = Throttle(rate_limit=RateLimit(100, per=1))
        permit = await BulkLimiter(throttle, 8, RateLimit(10, per=2)).acquire()

        assert in_force(throttle.stats()) == (5.0, "given")
        permit.release(is_success=False)

    def test_local_limit_is_given(self) -> None:
        throttle = Throttle(rate_limit=RateLimit(100, per=1))

        assert isinstance(throttle.given, LocalLimiter)
        assert in_force(throttle.stats()) == (100.0, "given")


def in_force(stats: Stats) -> tuple[float | None, str]:
    return stats.rate, stats.rate_origin


def origin(process: Process) -> str:
    return process.throttle.stats().rate_origin


class TestSettings:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"requests": 0, "per": 1}, "requests must be an integer of at least 1"),
            ({"requests": 1, "per": 0}, "per must be a finite number of seconds above 0"),
            ({"requests": 1, "per": 5, "lease": 4.9}, "lease must be at least per, 5 seconds"),
            ({"requests": 1, "per": 5, "lease": -1}, "lease must be a finite number"),
        ],
    )
    def test_invalid_number_is_rejected(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            MemoryLimit(clock=lambda: 0.0, **arguments)

    def test_lease_is_the_period_and_half_a_minute(self) -> None:
        assert MemoryLimit(1, per=60, clock=lambda: 0.0).lease == 90

    def test_demand_distinguishes_calls_from_bulk_cancels(self) -> None:
        throttle = Throttle(rate_limit=RateLimit(1, per=1))
        throttle._waiting.update({CALL: 2, BULK: 3, URGENT: 4})

        assert throttle._demand() == Demand(4, 5, has_calls=True)
