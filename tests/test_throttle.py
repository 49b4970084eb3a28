"""Throttle: the rate learned from each kind of rate limiter, its gate, concurrency, statistics and retry budget."""

import asyncio
import copy
import logging
import random
from math import inf
from pathlib import Path
from typing import Any

import attrs
import pytest
from virtual_time import (
    START,
    Clock,
    CountingWindow,
    FixedWindow,
    Job,
    JobResult,
    LeakyBucket,
    RollingWindow,
    StickTable,
    TokenBucket,
    VirtualLoop,
    in_virtual_time,
)

from retab_async import ConfigurationError, FileRateLimit, RateLimit
from retab_async.throttle import BulkLimiter, Permit, Throttle, TurnDeadlineError
from retab_async.throttle.concurrency_window import AimdWindow
from retab_async.throttle.throttle import RetryBudget
from retab_async.throttle.waiters import FifoGate

LIMITS = {"300/60 s": (300, 60.0, 0.1), "20/0.5 s": (20, 0.5, 0.01)}
SERVERS = {
    "rolling": (RollingWindow, 0.0),
    "bucket": (TokenBucket, 0.0),
    "fixed": (FixedWindow, 0.0),
    "fixed, nearly elapsed": (FixedWindow, 0.9),
}
each_limit = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
each_server = pytest.mark.parametrize(("server", "phase"), SERVERS.values(), ids=SERVERS)
three_servers = pytest.mark.parametrize(
    ("server", "phase"), [(RollingWindow, 0.0), (TokenBucket, 0.0), (FixedWindow, 0.9)]
)


class ManualClock:
    """Clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def job(limit: tuple[int, float, float], server: type[Any], phase: float, retry_after: Any = "none") -> JobResult:
    """Run a job with enough requests to make up for those refused before the limit is known."""
    requests, per, latency = limit
    sends = max(6 * requests, 1800)
    return Job(server, requests, per, sends, retry_after=retry_after, phase=phase, latency=latency).run()


class TestEfficiency:
    """Measured against an oracle that sends each request in the moment in which it is accepted.

    For n requests that is `(n - 1) // requests` periods of a rolling window, the same less the elapsed part of the
    first for fixed windows, `(n - requests) * per / requests` for a token bucket, and `n * per / requests` less the
    elapsed part of the first window for a stick table.
    """

    # Ten thousand simulated requests; the others execute all branches of the same code.
    @pytest.mark.slow
    @pytest.mark.no_cover
    @each_limit
    @each_server
    def test_unknown_limit_is_used_to_nine_tenths_with_a_refusal_in_twenty(
        self, limit: tuple[int, float, float], server: type[Any], phase: float
    ) -> None:
        result = job(limit, server, phase)

        assert result.efficiency >= 0.89
        assert result.refusals_per_success <= 0.05

    @pytest.mark.slow
    @pytest.mark.parametrize("limit", [(100, 2.0, 0.02), (20, 0.5, 0.01)])
    @pytest.mark.parametrize(("server", "phase"), [(StickTable, 0.0), (StickTable, 0.5), (CountingWindow, 0.0)])
    def test_limiter_that_counts_refused_requests_is_used_almost_fully(
        self, limit: tuple[int, float, float], server: type[Any], phase: float
    ) -> None:
        requests, per, latency = limit
        result = Job(server, requests, per, sends=1800, phase=phase, latency=latency).run()

        assert result.efficiency >= 0.89
        assert result.refusals_per_success <= 0.06

    @pytest.mark.parametrize("phase", [0.0, 0.3, 0.5])
    def test_possible_time_of_a_stick_table_is_that_of_requests_sent_as_soon_as_they_are_accepted(
        self, phase: float
    ) -> None:
        server, now, accepted = StickTable(20, 2.0, phase), START, 0
        while accepted < 90:
            # A refused request would count.
            if copy.copy(server).refuse(now):
                now += 0.002
            else:
                server.refuse(now)
                accepted += 1

        assert now - START == pytest.approx(server.least_seconds(90), rel=0.05)

    @pytest.mark.slow
    @each_limit
    def test_leaky_bucket_is_used_to_nine_tenths(self, limit: tuple[int, float, float]) -> None:
        result = job(limit, LeakyBucket, 0.0)

        assert result.efficiency >= 0.9
        assert result.refusals_per_success <= 0.05

    @pytest.mark.parametrize(
        "limit", [pytest.param(LIMITS["300/60 s"], marks=pytest.mark.slow), LIMITS["20/0.5 s"]], ids=LIMITS
    )
    @three_servers
    def test_exact_retry_after_is_used_to_nine_tenths_with_a_refusal_in_twenty(
        self, limit: tuple[int, float, float], server: type[Any], phase: float
    ) -> None:
        result = job(limit, server, phase, retry_after="exact")

        assert result.efficiency >= 0.9
        assert result.refusals_per_success <= 0.05

    @pytest.mark.slow
    @each_limit
    @three_servers
    def test_rounded_retry_after_costs_no_more_than_the_rounding(
        self, limit: tuple[int, float, float], server: type[Any], phase: float
    ) -> None:
        result = job(limit, server, phase, retry_after="whole")

        # Where a period is hardly longer than the second to which the server rounds up, each refusal costs a period.
        assert result.efficiency >= (0.94 if limit[1] > 1 else 0.75)
        assert result.refusals_per_success <= 0.05

    @pytest.mark.slow
    @each_limit
    @three_servers
    def test_known_limit_is_kept_without_a_refusal(
        self, limit: tuple[int, float, float], server: type[Any], phase: float
    ) -> None:
        requests, per, latency = limit
        known = RateLimit(requests, per=per)
        result = Job(server, requests, per, sends=requests * 6, phase=phase, latency=latency, rate_limit=known).run()

        # Without knowing when the server's window begins, a rolling one is the most that can be used.
        assert RollingWindow(requests, per, 0).least_seconds(result.succeeded) / result.seconds >= 0.95
        assert result.refused == 0
        assert result.stats.rate == requests / per
        assert result.stats.rate_origin == "given"

    # Hypothesis would draw other examples after any change of the code.
    @pytest.mark.slow
    @pytest.mark.parametrize("number", range(6))
    def test_any_limit_is_learned(self, number: int) -> None:
        dice = random.Random(number)
        requests = dice.randint(20, 200)
        result = Job(
            server=dice.choice([RollingWindow, TokenBucket, FixedWindow]),
            requests=requests,
            per=dice.uniform(4, 30),
            sends=requests * 12,
            retry_after=dice.choice(["none", "exact"]),
            phase=dice.uniform(0, 0.99),
            workers=dice.choice([8, 32, 64]),
            latency=0.04,
            seed=dice.randint(0, 1000),
        ).run()

        assert result.efficiency >= 0.7
        assert result.refused <= 0.05 * result.succeeded + 64


class TestSeveralClients:
    # Thousands of simulated requests; the others execute all branches of the same code.
    @pytest.mark.slow
    @pytest.mark.no_cover
    @pytest.mark.parametrize("retry_after", ["none", "exact"])
    @pytest.mark.parametrize("server", [RollingWindow, TokenBucket, FixedWindow, LeakyBucket])
    @pytest.mark.parametrize("start", [0.0, 20.0])
    def test_rate_that_fell_beside_another_client_recovers_within_ten_periods_of_its_end(
        self, server: type[Any], retry_after: Any, start: float
    ) -> None:
        two = Job(server, 200, 2.0, sends=0, retry_after=retry_after, latency=0.02)
        shares = two.shares_beside(start + 90, start, start + 40)

        ended = int(start + 40) // 2
        assert sum(shares[ended - 5 : ended]) / 5 < 0.8
        assert max(shares[ended : ended + 10]) >= 0.8
        assert sum(shares[ended + 15 :]) / len(shares[ended + 15 :]) >= 0.9

    @pytest.mark.no_cover
    def test_rate_that_falls_is_warned_about_once_with_the_way_to_share_a_limit(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        Job(RollingWindow, 200, 2.0, sends=0, latency=0.02).shares_beside(90, 20, 40)

        (warning,) = [record for record in caplog.records if record.name == "retab_async.shared_limit"]
        assert "FileRateLimit or --rate-limit and --shared" in warning.getMessage()

    @pytest.mark.slow
    @pytest.mark.no_cover
    @pytest.mark.parametrize("server", [RollingWindow, FixedWindow, StickTable])
    def test_client_that_is_alone_gets_no_warning(self, server: type[Any], caplog: pytest.LogCaptureFixture) -> None:
        Job(server, 50, 10.0, sends=3000, latency=0.02).run()

        assert not [record for record in caplog.records if record.name == "retab_async.shared_limit"]

    @pytest.mark.parametrize("owner", ["alone", "shared", "storage host"])
    async def test_reduction_is_warned_about_once_if_a_shared_limit_would_help(
        self, *, owner: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        throttle = Throttle(
            ManualClock(), FileRateLimit(tmp_path / "limit", 300, per=60) if owner == "shared" else None, "key"
        )
        throttle = learn(throttle.external if owner == "storage host" else throttle)
        throttle.limiter.estimate.best_rate = 10.0
        for _ in range(2):
            refuse(throttle, retry_after=None)
            throttle.clock.now += 5  # type: ignore[attr-defined]
            send(throttle)

        if throttle.given is not None:
            await throttle.given.aclose()
        assert throttle.limiter.estimate.is_reduced
        assert [record.name for record in caplog.records].count("retab_async.shared_limit") == (owner == "alone")


class TestLearning:
    @pytest.mark.slow
    def test_without_refusals_nothing_is_limited(self) -> None:
        result = Job(RollingWindow, 10_000, 1.0, sends=5000, latency=0.02).run()

        assert result.refused == 0
        assert (result.stats.rate, result.stats.concurrency_limit) == (None, 64)
        assert result.seconds == pytest.approx(5000 * 0.022 / 64, rel=0.25)

    def test_rate_is_forgotten_after_minutes_without_refusals(self) -> None:
        throttle = learned()
        throttle.clock.now += 500  # type: ignore[attr-defined]

        assert throttle.queue.try_pass()
        assert throttle.is_unthrottled
        assert throttle.stats().rate is None

    def test_rate_far_above_the_refused_one_is_forgotten(self) -> None:
        throttle = learned()
        at_first = throttle.stats().rate
        rates = [at_first]
        while not throttle.is_unthrottled:
            send(throttle)
            throttle.clock.now += 0.01  # type: ignore[attr-defined]
            throttle.queue.try_pass()
            rates.append(throttle.stats().rate or 0.0)

        assert at_first == pytest.approx(1, rel=0.1)
        assert 3.5 < max(rate or 0.0 for rate in rates) < 4.5

    def test_few_requests_teach_no_rate(self) -> None:
        throttle = Throttle(ManualClock())
        send(throttle)
        refuse(throttle, retry_after=None)
        throttle.clock.now += 1  # type: ignore[attr-defined]
        assert throttle.queue.try_pass()
        send(throttle)

        assert throttle.stats().rate is None
        assert not throttle.is_unthrottled

    def test_503_with_retry_after_teaches_no_rate(self) -> None:
        throttle = Throttle(ManualClock())
        for _ in range(20):
            send(throttle)
        sent = throttle.on_sent()
        throttle.on_throttled(sent, 2.0, is_rate_limited=False)
        assert not throttle.queue.try_pass()
        throttle.clock.now += 2  # type: ignore[attr-defined]
        assert throttle.queue.try_pass()
        for _ in range(40):
            send(throttle)

        assert throttle.stats().rate is None
        assert throttle.stats().throttled == 0
        assert throttle.queue.try_pass()
        assert throttle.is_unthrottled

    def test_idle_hour_is_not_counted_as_refusals(self) -> None:
        throttle = Throttle(ManualClock())
        for _ in range(11):
            send(throttle)
        refuse(throttle, retry_after=None)
        throttle.clock.now += 3600  # type: ignore[attr-defined]
        assert throttle.queue.try_pass()
        send(throttle)
        throttle.clock.now += 0.1  # type: ignore[attr-defined]

        assert throttle.queue.try_pass()

    def test_idle_hour_does_not_lower_a_known_rate(self) -> None:
        throttle = learned()
        for _ in range(10):
            throttle.clock.now += 1  # type: ignore[attr-defined]
            send(throttle)
        refuse(throttle, retry_after=8)
        throttle.clock.now += 3600  # type: ignore[attr-defined]
        send(throttle)

        assert 0.9 * 10 / 18 < (throttle.stats().rate or 0.0) < 0.9

    def test_simultaneous_refusals_count_once(self) -> None:
        throttle = learned()
        before = throttle.stats().rate
        together = [throttle.on_sent() for _ in range(20)]
        throttle.clock.now += 0.05  # type: ignore[attr-defined]
        for sent in together:
            throttle.on_throttled(sent, None, is_rate_limited=True)
            throttle.clock.now += 0.001  # type: ignore[attr-defined]
        throttle.clock.now += 5  # type: ignore[attr-defined]
        send(throttle)

        assert before is not None
        assert before / 1.2 < (throttle.stats().rate or 0.0) < before

    def test_response_to_an_earlier_request_does_not_open_the_gate(self) -> None:
        throttle = Throttle(ManualClock())
        earlier = throttle.on_sent()
        throttle.clock.now += 0.1  # type: ignore[attr-defined]
        refuse(throttle, retry_after=5)
        throttle.on_response(earlier, is_success=True)

        assert not throttle.queue.try_pass()
        assert throttle.retry_after_left() == pytest.approx(5)

    @pytest.mark.parametrize("retry_after", [301, 86400, 1e9])
    def test_absurd_retry_after_lets_one_request_probe_after_five_minutes(self, retry_after: float) -> None:
        throttle = Throttle(clock := ManualClock())
        refuse(throttle, retry_after=retry_after)
        clock.now += 299
        assert not throttle.queue.try_pass()
        assert throttle.full_retry_after_left() == retry_after - 299
        clock.now += 1
        assert throttle.queue.try_pass()
        probe = throttle.on_sent()
        assert not throttle.queue.try_pass()
        clock.now += 0.1
        throttle.on_response(probe, is_success=True)
        clock.now += 0.1

        assert throttle.queue.try_pass()
        assert (throttle.retry_after_left(), throttle.full_retry_after_left()) == (0, 0)

    def test_refused_probe_closes_the_gate_for_its_own_retry_after(self) -> None:
        throttle = Throttle(clock := ManualClock())
        refuse(throttle, retry_after=86400)
        clock.now += 300
        assert throttle.queue.try_pass()
        refuse(throttle, retry_after=20)

        assert (throttle.retry_after_left(), throttle.full_retry_after_left()) == (20, 20)
        clock.now += 19
        assert not throttle.queue.try_pass()
        clock.now += 80
        assert throttle.queue.try_pass()

    def test_pause_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "retab_async")
        throttle = Throttle(ManualClock())
        for _ in range(10):
            refuse(throttle, retry_after=2)
        throttle.clock.now += 3  # type: ignore[attr-defined]
        refuse(throttle, retry_after=0.25)

        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert lines == [
            ("WARNING", "the API asked for a pause of 2.0 s"),
            ("DEBUG", "the API asked for a pause of 0.2 s"),
        ]

    def test_refusal_after_thousands_of_requests_counts(self) -> None:
        throttle = Throttle(ManualClock())
        slow = throttle.on_sent()
        for _ in range(5000):
            throttle.clock.now += 0.001  # type: ignore[attr-defined]
            send(throttle)
        throttle.on_throttled(slow, 1.0, is_rate_limited=True)

        assert not throttle.queue.try_pass()

    def test_other_hosts_have_their_own_throttle(self) -> None:
        throttle = Throttle(ManualClock())
        refuse(throttle.external, retry_after=5)

        assert throttle.is_unthrottled
        assert throttle.external is throttle.external
        assert not throttle.external.is_unthrottled


def send(throttle: Throttle) -> None:
    sent = throttle.on_sent()
    throttle.on_response(sent, is_success=True)


def refuse(throttle: Throttle, retry_after: float | None) -> None:
    sent = throttle.on_sent()
    throttle.on_throttled(sent, retry_after, is_rate_limited=True)


def learned() -> Throttle:
    """Return a throttle that has learned about one a second."""
    return learn(Throttle(ManualClock()))


def learn(throttle: Throttle) -> Throttle:
    """Let a throttle learn about one a second: twenty at once, refused for twenty seconds."""
    for _ in range(20):
        send(throttle)
    refuse(throttle, retry_after=19.5)
    throttle.clock.now += 20  # type: ignore[attr-defined]
    send(throttle)
    return throttle


@pytest.mark.parametrize("end", ["response", "refusal", "429", "503", "lost"])
def test_every_end_of_a_request_returns_its_slot_of_a_given_limit(end: str) -> None:
    throttle = Throttle(clock := ManualClock(), RateLimit(1, per=2))
    given = throttle.given
    assert given is not None
    sent = throttle.on_sent()
    clock.now += 0.5
    assert given.seconds_until_free(clock.now) == inf

    if end == "lost":
        throttle.on_lost()
    elif end in {"429", "503"}:
        throttle.on_throttled(sent, None, is_rate_limited=end == "429")
    else:
        throttle.on_response(sent, is_success=end == "response")

    assert throttle.stats().in_flight == 0
    assert given.seconds_until_free(clock.now) == pytest.approx(2)


class TestStats:
    def test_failed_response_refunds_no_retry_token(self) -> None:
        throttle = Throttle(ManualClock())
        throttle.budget.spend(is_throttled=True, is_cancel=False)
        throttle.on_response(throttle.on_sent(), is_success=False)

        assert throttle.stats().retry_tokens == 495

    def test_report_the_current_figures(self) -> None:
        throttle = Throttle(clock := ManualClock())
        assert throttle.stats().latency_p50 is None
        for hundredth in range(1, 101):
            sent = throttle.on_sent()
            clock.now += hundredth / 100
            throttle.on_response(sent, is_success=True)
        throttle.on_sent()
        refuse(throttle, retry_after=None)

        stats = throttle.stats()
        assert (stats.in_flight, stats.concurrency_limit, stats.sent, stats.throttled, stats.retry_tokens) == (
            1,
            8,
            102,
            1,
            500,
        )
        assert stats.latency_p50 == pytest.approx(0.5, abs=0.02)
        assert stats.latency_p95 == pytest.approx(0.95, abs=0.02)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            stats.sent = 0  # type: ignore[misc]

    def test_rate_is_the_learned_one_or_none(self) -> None:
        assert (Throttle().stats().rate, Throttle().stats().rate_origin) == (None, "none")
        stats = learned().stats()

        assert stats.rate == pytest.approx(1, rel=0.1)
        assert stats.rate_origin == "learned"

    def test_rate_is_the_given_one_while_its_job_runs(self) -> None:
        async def scenario(clock: Clock) -> None:
            throttle = Throttle(clock)
            limiter = BulkLimiter(throttle, 8, RateLimit(400, per=2))
            permit = await limiter.acquire()
            assert (throttle.stats().rate, throttle.stats().rate_origin) == (200, "given")
            release(permit)
            await asyncio.sleep(1)
            assert (throttle.stats().rate, throttle.stats().rate_origin) == (200, "given")
            await asyncio.sleep(2)

            assert (throttle.stats().rate, throttle.stats().rate_origin) == (None, "none")

        in_virtual_time(scenario)

    async def test_rate_is_shared_by_several_jobs_with_a_given_one(self) -> None:
        throttle = Throttle()
        permits = [await BulkLimiter(throttle, 8, RateLimit(10, per=2)).acquire() for _ in range(2)]

        assert (throttle.stats().rate, throttle.stats().rate_origin) == (10, "given")
        for permit in permits:
            release(permit)

    async def test_rate_is_the_learned_one_where_it_is_less_than_the_given(self) -> None:
        throttle = learned()
        permit = await BulkLimiter(throttle, 8, RateLimit(400, per=2)).acquire()

        assert throttle.stats().rate_origin == "learned"
        assert throttle.stats().rate == pytest.approx(1, rel=0.1)
        release(permit)


class TestFifoGate:
    def test_tasks_pass_one_by_one_in_fifo_order(self) -> None:
        async def scenario(clock: Clock) -> list[tuple[int, float]]:
            opens_at = clock()
            passed: list[tuple[int, float]] = []

            def on_pass() -> None:
                nonlocal opens_at
                opens_at = clock() + 1

            gate = FifoGate(clock, lambda: opens_at - clock(), on_pass)
            assert gate.try_pass()
            started = clock()

            async def wait(number: int) -> None:
                await gate.wait_turn()
                passed.append((number, round(clock() - started, 3)))

            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(wait(number))
            assert not len(gate)
            return passed

        assert in_virtual_time(scenario) == [(0, 1), (1, 2), (2, 3), (3, 4)]

    def test_urgent_tasks_pass_first_in_fifo_order(self) -> None:
        async def scenario(clock: Clock) -> list[str]:
            opens_at = clock() + 5
            passed: list[str] = []

            def on_pass() -> None:
                nonlocal opens_at
                opens_at = clock() + 1

            gate = FifoGate(clock, lambda: opens_at - clock(), on_pass)

            async def wait(name: str, *, is_urgent: bool = False) -> None:
                await gate.wait_turn(is_urgent=is_urgent)
                passed.append(name)

            async with asyncio.TaskGroup() as group:
                for name in ("first", "second"):
                    group.create_task(wait(name))
                await asyncio.sleep(1)
                leaving, *_ = [group.create_task(wait(name, is_urgent=True)) for name in ("leaving", "urgent", "next")]
                await asyncio.sleep(1)
                leaving.cancel()
            return passed

        assert in_virtual_time(scenario) == ["urgent", "next", "first", "second"]

    def test_cancelled_task_leaves_the_queue_and_the_next_one_passes(self) -> None:
        async def scenario(clock: Clock) -> float:
            opens_at = clock() + 10
            gate = FifoGate(clock, lambda: opens_at - clock(), lambda: None)
            first, second, third = (asyncio.create_task(gate.wait_turn()) for _ in range(3))
            await asyncio.sleep(1)
            assert not gate.try_pass()
            first.cancel()
            await asyncio.sleep(1)
            third.cancel()
            await second
            assert first.cancelled()
            assert third.cancelled()
            assert not len(gate)
            return opens_at - clock()

        assert in_virtual_time(scenario) == pytest.approx(0, abs=0.01)

    def test_task_cancelled_as_its_turn_comes_passes_it_on(self) -> None:
        async def scenario(clock: Clock) -> None:
            is_open = False
            gate = FifoGate(clock, lambda: 0.0 if is_open else inf, lambda: None)
            first, second = (asyncio.create_task(gate.wait_turn()) for _ in range(2))
            await asyncio.sleep(0)
            is_open = True
            gate.wake()
            gate.wake()
            first.cancel()
            await second

            assert first.cancelled()

        in_virtual_time(scenario)

    def test_timer_and_wakeup_may_coincide(self) -> None:
        async def scenario(clock: Clock) -> None:
            opens_at = clock() + 1
            gate = FifoGate(clock, lambda: opens_at - clock(), lambda: None)
            asyncio.get_running_loop().call_later(1, gate.wake)
            await gate.wait_turn()

            assert clock() >= opens_at

        in_virtual_time(scenario)

    def test_turn_after_the_deadline_is_refused_at_once(self) -> None:
        async def scenario(clock: Clock) -> float:
            opens_at = clock() + 10
            gate = FifoGate(clock, lambda: opens_at - clock(), lambda: None)
            waiting = asyncio.create_task(gate.wait_turn())
            await asyncio.sleep(0)
            started = clock()
            with pytest.raises(TurnDeadlineError):
                await gate.wait_turn(deadline=started + 9)
            took = clock() - started
            await waiting
            return took

        assert in_virtual_time(scenario) == 0

    def test_task_behind_others_waits_until_its_deadline(self) -> None:
        async def scenario(clock: Clock) -> float:
            gate = FifoGate(clock, lambda: inf, lambda: None)
            first = asyncio.create_task(gate.wait_turn())
            await asyncio.sleep(0)
            started = clock()
            with pytest.raises(TurnDeadlineError):
                await gate.wait_turn(deadline=started + 3)
            first.cancel()
            return clock() - started

        assert in_virtual_time(scenario) == pytest.approx(3)


class TestAimdWindow:
    def test_starts_with_eight_and_grows_by_one_per_success(self) -> None:
        window = AimdWindow()
        for _ in range(100):
            window.increase(50)

        assert AimdWindow().limit == 8
        assert window.limit == 50

    def test_refusals_of_one_epoch_decrease_it_once_by_three_tenths(self) -> None:
        window = AimdWindow()
        for _ in range(42):
            window.increase(50)
        for _ in range(50):
            window.decrease(epoch=0)

        assert window.limit == 35
        window.decrease(epoch=1)
        assert window.limit == 24

    def test_after_a_refusal_it_grows_by_one_per_round_trip(self) -> None:
        window = AimdWindow()
        window.decrease(epoch=0)
        for _ in range(6):
            window.increase(50)

        assert window.limit == 6

    def test_never_falls_below_one(self) -> None:
        window = AimdWindow()
        for epoch in range(20):
            window.decrease(epoch)

        assert window.limit == 1

    def test_is_shared_by_two_jobs(self) -> None:
        async def scenario(clock: Clock) -> None:
            throttle = Throttle(clock)
            one, other = BulkLimiter(throttle, 8, None), BulkLimiter(throttle, 8, None)
            permits = [one.try_acquire() for _ in range(8)]
            waiting = asyncio.create_task(other.acquire())
            await asyncio.sleep(1)
            assert not waiting.done()
            assert other.try_acquire() is None
            release(permits.pop())
            permits.append(await waiting)
            for permit in permits:
                release(permit)

            assert throttle.concurrency.in_flight == 0

        in_virtual_time(scenario)

    async def test_small_job_beside_a_large_one_has_half_of_the_window(self) -> None:
        throttle = Throttle()
        large, small = BulkLimiter(throttle, 64, None), BulkLimiter(throttle, 64, None)
        in_flight = [(large, permit) for _ in range(8) if (permit := large.try_acquire())]

        async def send(limiter: BulkLimiter) -> None:
            permit = limiter.try_acquire() or await limiter.acquire()
            if permit.is_at_gate:
                permit.mark_sent()
            in_flight.append((limiter, permit))

        tasks = [asyncio.create_task(send(small)) for _ in range(20)]
        for _ in range(24):
            await asyncio.sleep(0)
            limiter, permit = in_flight.pop(0)
            release(permit)
            # A finished sender sends the next one at once.
            if limiter is large and (following := large.try_acquire()):
                in_flight.append((large, following))
            elif limiter is large:
                tasks.append(asyncio.create_task(send(large)))
        await asyncio.sleep(0)

        assert [limiter for limiter, _ in in_flight].count(small) == 4
        assert throttle.concurrency.in_flight == len(in_flight) == 8
        while not all(task.done() for task in tasks):
            release(in_flight.pop(0)[1])
            await asyncio.sleep(0)

    def test_further_free_slots_go_to_a_job_that_left_one_to_another(self) -> None:
        async def scenario(clock: Clock) -> None:
            throttle = Throttle(clock)
            large, small = BulkLimiter(throttle, 64, None), BulkLimiter(throttle, 64, RateLimit(1, per=60))
            slow = [large.try_acquire() for _ in range(2)]
            first = await small.acquire()
            first.mark_sent()
            release(first)
            due = asyncio.create_task(small.acquire())
            await asyncio.sleep(0)
            # The turn of the small job comes while the loop is busy.
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.be_busy(61)
            refused = large.try_acquire()
            waiting = asyncio.create_task(large.acquire())
            for permit in (await due, await asyncio.wait_for(waiting, 1)):
                permit.mark_sent()
                release(permit)

            assert refused is None
            for held in slow:
                release(held)

        in_virtual_time(scenario)

    async def test_slot_left_to_a_caller_that_is_cancelled_goes_to_another_job(self) -> None:
        throttle = Throttle()
        large, small = BulkLimiter(throttle, 64, None), BulkLimiter(throttle, 64, None)
        permits = [large.try_acquire() for _ in range(8)]
        leaving = asyncio.create_task(small.acquire())
        waiting = asyncio.create_task(large.acquire())
        await asyncio.sleep(0)
        release(permits.pop())
        leaving.cancel()
        permits.append(await waiting)

        assert leaving.cancelled()
        assert throttle.concurrency.in_flight == 8
        for permit in permits:
            release(permit)

    async def test_job_that_waits_at_the_gate_of_the_throttle_keeps_no_slot_from_others(self) -> None:
        throttle = Throttle()
        throttle.is_unthrottled = False
        large, small = BulkLimiter(throttle, 8, None), BulkLimiter(throttle, 8, None)
        at_gate = await small.acquire()
        waiting = asyncio.create_task(small.acquire())
        await asyncio.sleep(0)
        permits = []
        for _ in range(3):
            permits.append(await asyncio.wait_for(large.acquire(), 1))
            permits[-1].mark_sent()

        assert not waiting.done()
        at_gate.mark_sent()
        for permit in (at_gate, await waiting, *permits):
            release(permit)

    def test_job_that_waits_for_its_own_rate_keeps_no_slot_from_others(self) -> None:
        async def scenario(clock: Clock) -> None:
            throttle = Throttle(clock)
            slow, fast = BulkLimiter(throttle, 8, RateLimit(1, per=60)), BulkLimiter(throttle, 8, None)
            first = await slow.acquire()
            first.mark_sent()
            release(first)
            waiting = asyncio.create_task(slow.acquire())
            await asyncio.sleep(1)
            permits = [fast.try_acquire() for _ in range(8)]
            assert None not in permits
            for permit in permits:
                release(permit)
            release(await waiting)

        in_virtual_time(scenario)

    def test_requests_of_a_large_job_do_not_fill_a_small_one(self) -> None:
        throttle = Throttle()
        large, small = BulkLimiter(throttle, 8, None), BulkLimiter(throttle, 1, None)
        permits = [large.try_acquire() for _ in range(7)]
        probe = small.try_acquire()
        assert small.try_acquire() is None
        for permit in (*permits, probe):
            release(permit)

        assert (large.in_flight, small.in_flight, throttle.concurrency.in_flight) == (0, 0, 0)


def release(permit: Permit | None) -> None:
    assert permit is not None
    permit.release(is_success=False)


class TestBulkLimiter:
    def test_one_request_at_a_time_waits_at_the_gate(self) -> None:
        async def scenario(clock: Clock) -> None:
            throttle = Throttle(clock)
            throttle.is_unthrottled = False
            limiter = BulkLimiter(throttle, 8, None)
            first = await limiter.acquire()
            second, third = (asyncio.create_task(limiter.acquire()) for _ in range(2))
            await asyncio.sleep(1)
            assert not second.done()
            first.mark_sent()
            release(await second)
            third.cancel()
            first.on_throttled()
            release(first)
            assert limiter.throttle.concurrency.limit == 5
            assert limiter.throttle.concurrency.in_flight == 0

        in_virtual_time(scenario)

    async def test_free_slots_are_all_taken_in_one_loop_iteration(self) -> None:
        limiter = BulkLimiter(Throttle(), 64, None)
        permits = [limiter.try_acquire() for _ in range(8)]

        async def send_one() -> None:
            permit = await limiter.acquire()
            permit.mark_sent()
            permits.append(permit)

        waiting = [asyncio.create_task(send_one()) for _ in range(6)]
        await asyncio.sleep(0)
        for permit in permits[:4]:
            release(permit)
        await asyncio.sleep(0)

        assert [task.done() for task in waiting] == [True] * 4 + [False] * 2
        for permit in permits[4:]:
            release(permit)
        await asyncio.gather(*waiting)

    @pytest.mark.parametrize("known", [RateLimit(100, per=60), None])
    async def test_only_the_first_waiter_is_woken_where_a_rate_is_limited(self, known: RateLimit | None) -> None:
        limiter = BulkLimiter(Throttle(), 64, known)
        limiter.throttle.is_unthrottled = known is not None
        sent = []

        async def send_one() -> None:
            permit = await limiter.acquire()
            permit.mark_sent()
            sent.append(permit)

        waiting = [asyncio.create_task(send_one()) for _ in range(20)]
        await asyncio.sleep(0.01)
        assert len(sent) == 8
        for _ in range(4):
            release(sent.pop())

        assert sum(waiter.is_woken for waiter in limiter._gate._queue) == 1
        while not all(task.done() for task in waiting):
            release(sent.pop())
            await asyncio.sleep(0)

    def test_requests_in_flight_together_decrease_the_concurrency_once(self) -> None:
        limiter = BulkLimiter(Throttle(), 8, None)
        before = [limiter.try_acquire() for _ in range(2)]
        for permit in before:
            assert permit is not None
            permit.on_throttled()
        assert limiter.concurrency.limit == 5
        after = limiter.try_acquire()
        assert after is not None
        after.on_throttled()
        assert limiter.concurrency.limit == 3
        for permit in (*before, after):
            release(permit)

        assert limiter.concurrency.in_flight == 0


class TestRateLimit:
    @pytest.mark.parametrize(("requests", "per"), [(0, 1), (1.5, 1), (True, 1), (5, 0), (5, -1), (5, inf), (5, "1")])
    def test_other_values_are_refused(self, requests: Any, per: Any) -> None:
        with pytest.raises(ConfigurationError):
            RateLimit(requests, per=per)

    def test_repr_shows_its_values(self) -> None:
        assert repr(RateLimit(300, per=60)) == "RateLimit(requests=300, per=60)"


class TestRetryBudget:
    def test_retries_spend_all_but_the_reserve_for_cancels(self, caplog: pytest.LogCaptureFixture) -> None:
        budget = RetryBudget()
        spent = [budget.spend(is_throttled=False, is_cancel=False) for _ in range(40)]
        assert (sum(spent), budget.tokens) == (28, 108)
        assert [budget.spend(is_throttled=True, is_cancel=False) for _ in range(3)] == [True, False, False]
        assert [budget.spend(is_throttled=False, is_cancel=True) for _ in range(8)] == [True] * 7 + [False]

        assert budget.tokens == 5
        assert len(caplog.records) == 1
        assert "retry budget exhausted" in caplog.text

    def test_successes_refill_it(self, caplog: pytest.LogCaptureFixture) -> None:
        budget = RetryBudget()
        for _ in range(2):
            while budget.spend(is_throttled=False, is_cancel=True):
                pass
            for _ in range(600):
                budget.refund()

        assert budget.tokens == 500
        assert len(caplog.records) == 2
