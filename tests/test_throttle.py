"""The pace: what it learns from refusals of each make of server, and how those wait who have to."""

import asyncio
import logging
from math import inf
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from virtual_time import Bucket, Clock, Course, Fixed, Job, Rolling, in_virtual_time

from retab_async import ConfigurationError, RateLimit
from retab_async.throttle import BulkLimiter, Permit, Throttle, TurnDeadlineError
from retab_async.throttle.concurrency_window import AimdWindow
from retab_async.throttle.throttle import RetryBudget
from retab_async.throttle.waiters import FifoGate

LIMITS = {"300/60 s": (300, 60.0, 0.1), "50/1 s": (50, 1.0, 0.02), "20/0.5 s": (20, 0.5, 0.01)}
MAKES = {
    "rolling": (Rolling, 0.0),
    "bucket": (Bucket, 0.0),
    "fixed": (Fixed, 0.0),
    "fixed, nearly over": (Fixed, 0.9),
}
limits = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
two_limits = pytest.mark.parametrize("limit", [LIMITS["300/60 s"], LIMITS["20/0.5 s"]])
makes = pytest.mark.parametrize(("make", "phase"), MAKES.values(), ids=MAKES)
three_makes = pytest.mark.parametrize(("make", "phase"), [(Rolling, 0.0), (Bucket, 0.0), (Fixed, 0.9)])


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def job(limit: tuple[int, float, float], make: type[Any], phase: float, told: str = "no") -> Course:
    """A job of as many sends as it takes to make up for those that are refused while nothing is known yet."""
    requests, per, latency = limit
    sends = max(6 * requests, 1800)
    return Job(make, requests, per, sends, told=told, phase=phase, latency=latency).run()


class TestTheGoals:
    """Against the least possible time: all that is admitted at a moment sent in that moment, by an oracle.

    The first burst counts as possible, and so does each later one: `(n - 1) // requests` periods for a rolling window;
    the same less what was over of the first one for a fixed window; `(n - requests) * per / requests` for a bucket.
    """

    @limits
    @makes
    def test_nine_tenths_of_the_possible_rate_and_a_refusal_in_twenty(
        self, limit: tuple[int, float, float], make: type[Any], phase: float
    ) -> None:
        course = job(limit, make, phase)

        assert course.part_of_possible >= 0.89
        assert course.refusals_a_success <= 0.05

    @two_limits
    @three_makes
    def test_the_same_where_the_server_says_when_to_come_back(
        self, limit: tuple[int, float, float], make: type[Any], phase: float
    ) -> None:
        course = job(limit, make, phase, told="exact")

        assert course.part_of_possible >= 0.9
        assert course.refusals_a_success <= 0.05

    @two_limits
    @three_makes
    def test_pauses_in_whole_seconds_cost_no_more_than_their_rounding(
        self, limit: tuple[int, float, float], make: type[Any], phase: float
    ) -> None:
        course = job(limit, make, phase, told="whole")

        # Where a period is hardly longer than the second to which the server rounds up, each refusal costs a period.
        assert course.part_of_possible >= (0.94 if limit[1] > 1 else 0.75)
        assert course.refusals_a_success <= 0.05

    @limits
    @three_makes
    def test_a_limit_that_is_known_is_kept_to_without_a_refusal(
        self, limit: tuple[int, float, float], make: type[Any], phase: float
    ) -> None:
        requests, per, latency = limit
        told = RateLimit(requests, per=per)
        course = Job(make, requests, per, sends=requests * 6, phase=phase, latency=latency, rate_limit=told).run()

        # What any rolling window allows is the most that can be sent without knowing when the server's begins.
        assert Rolling(requests, per, 0).least(course.succeeded) / course.seconds >= 0.95
        assert course.refused == 0
        assert course.stats.rate is None

    @settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(
        make=st.sampled_from([Rolling, Bucket, Fixed]),
        phase=st.floats(0, 0.99),
        requests=st.integers(20, 200),
        per=st.floats(4, 30),
        workers=st.sampled_from([8, 32, 64]),
        told=st.sampled_from(["no", "exact"]),
        seed=st.integers(0, 1000),
    )
    def test_any_limit_is_found_within_reason(self, **told: Any) -> None:
        course = Job(sends=told["requests"] * 12, latency=0.04, **told).run()

        assert course.part_of_possible >= 0.7
        assert course.refused <= 0.05 * course.succeeded + 64


class TestLearning:
    def test_without_refusals_nothing_is_kept_to(self) -> None:
        course = Job(Rolling, 10_000, 1.0, sends=5000, latency=0.02).run()

        assert course.refused == 0
        assert (course.stats.rate, course.stats.concurrency_limit) == (None, 64)
        assert course.seconds == pytest.approx(5000 * 0.022 / 64, rel=0.25)

    def test_a_limit_that_is_lifted_is_outgrown(self) -> None:
        pace = learned()
        pace.clock.now += 500  # type: ignore[attr-defined]

        assert pace.queue.try_pass()
        assert pace.is_unthrottled
        assert pace.stats().rate is None

    def test_a_rate_far_beyond_what_was_refused_is_kept_to_no_more(self) -> None:
        pace = learned()
        told = pace.stats().rate
        rates = [told]
        while not pace.is_unthrottled:
            send(pace)
            pace.clock.now += 0.01  # type: ignore[attr-defined]
            pace.queue.try_pass()
            rates.append(pace.stats().rate or 0.0)

        assert told == pytest.approx(1, rel=0.1)
        assert 3.5 < max(rate or 0.0 for rate in rates) < 4.5

    def test_a_few_requests_tell_no_rate(self) -> None:
        pace = Throttle(Hands())
        send(pace)
        refuse(pace, told=None)
        pace.clock.now += 1  # type: ignore[attr-defined]
        assert pace.queue.try_pass()
        send(pace)

        assert pace.stats().rate is None
        assert not pace.is_unthrottled

    def test_a_pause_without_a_limit_teaches_no_rate(self) -> None:
        pace = Throttle(Hands())
        for _ in range(20):
            send(pace)
        sent = pace.on_sent()
        pace.on_done(sent)
        pace.on_throttled(sent, 2.0, is_rate_limited=False)
        assert not pace.queue.try_pass()
        pace.clock.now += 2  # type: ignore[attr-defined]
        assert pace.queue.try_pass()
        for _ in range(40):
            send(pace)

        assert pace.stats().rate is None
        assert pace.stats().throttled == 0
        assert pace.queue.try_pass()
        assert pace.is_unthrottled

    def test_an_hour_in_which_nobody_asked_is_no_hour_of_refusals(self) -> None:
        pace = Throttle(Hands())
        for _ in range(11):
            send(pace)
        refuse(pace, told=None)
        pace.clock.now += 3600  # type: ignore[attr-defined]
        assert pace.queue.try_pass()
        send(pace)
        pace.clock.now += 0.1  # type: ignore[attr-defined]

        assert pace.queue.try_pass()

    def test_an_hour_in_which_nobody_asked_does_not_slow_down_what_is_known(self) -> None:
        pace = learned()
        for _ in range(10):
            pace.clock.now += 1  # type: ignore[attr-defined]
            send(pace)
        refuse(pace, told=8)
        pace.clock.now += 3600  # type: ignore[attr-defined]
        send(pace)

        assert pace.stats().rate == pytest.approx(10 / 18, rel=0.2)

    def test_refusals_of_one_moment_count_once(self) -> None:
        pace = learned()
        before = pace.stats().rate
        together = [pace.on_sent() for _ in range(20)]
        pace.clock.now += 0.05  # type: ignore[attr-defined]
        for sent in together:
            pace.on_done(sent)
            pace.on_throttled(sent, None, is_rate_limited=True)
            pace.clock.now += 0.001  # type: ignore[attr-defined]
        pace.clock.now += 5  # type: ignore[attr-defined]
        send(pace)

        assert before is not None
        assert before / 1.2 < (pace.stats().rate or 0.0) < before

    def test_the_gate_opens_only_to_what_went_after_it_closed_the_gate(self) -> None:
        pace = Throttle(Hands())
        earlier = pace.on_sent()
        pace.clock.now += 0.1  # type: ignore[attr-defined]
        refuse(pace, told=5)
        pace.on_done(earlier)
        pace.on_response(earlier, is_success=True)

        assert not pace.queue.try_pass()
        assert pace.retry_after_left() == pytest.approx(5)

    def test_a_pause_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "retab_async")
        pace = Throttle(Hands())
        for _ in range(10):
            refuse(pace, told=2)
        pace.clock.now += 3  # type: ignore[attr-defined]
        refuse(pace, told=0.25)

        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert lines == [
            ("WARNING", "the API asked for a pause of 2.0 s"),
            ("DEBUG", "the API asked for a pause of 0.2 s"),
        ]

    def test_a_refusal_that_comes_after_thousands_of_others_counts_as_well(self) -> None:
        pace = Throttle(Hands())
        slow = pace.on_sent()
        for _ in range(5000):
            pace.clock.now += 0.001  # type: ignore[attr-defined]
            send(pace)
        pace.on_done(slow)
        pace.on_throttled(slow, 1.0, is_rate_limited=True)

        assert not pace.queue.try_pass()

    def test_what_goes_elsewhere_has_a_pace_of_its_own(self) -> None:
        pace = Throttle(Hands())
        refuse(pace.external, told=5)

        assert pace.is_unthrottled
        assert pace.external is pace.external
        assert not pace.external.is_unthrottled


def send(pace: Throttle) -> None:
    sent = pace.on_sent()
    pace.on_done(sent)
    pace.on_response(sent, is_success=True)


def refuse(pace: Throttle, told: float | None) -> None:
    sent = pace.on_sent()
    pace.on_done(sent)
    pace.on_throttled(sent, told, is_rate_limited=True)


def learned() -> Throttle:
    """A pace that has learned of about one a second: twenty at once, refused for twenty seconds."""
    pace = Throttle(Hands())
    for _ in range(20):
        send(pace)
    refuse(pace, told=19.5)
    pace.clock.now += 20  # type: ignore[attr-defined]
    send(pace)
    return pace


class TestStats:
    def test_an_answer_that_is_no_success_gives_no_token_back(self) -> None:
        pace = Throttle(Hands())
        pace.budget.spend(is_throttled=True, is_cancel=False)
        pace.on_response(pace.on_sent(), is_success=False)

        assert pace.stats().retry_tokens == 495

    def test_tell_what_is_and_was(self) -> None:
        pace = Throttle(clock := Hands())
        assert pace.stats().latency_p50 is None
        for hundredth in range(1, 101):
            sent = pace.on_sent()
            clock.now += hundredth / 100
            pace.on_done(sent)
            pace.on_response(sent, is_success=True)
        pace.on_sent()
        refuse(pace, told=None)

        stats = pace.stats()
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


class TestALine:
    def test_lets_one_after_the_other_pass_in_the_order_of_their_coming(self) -> None:
        async def story(clock: Clock) -> list[tuple[int, float]]:
            opens = clock()
            passed: list[tuple[int, float]] = []

            def go() -> None:
                nonlocal opens
                opens = clock() + 1

            line = FifoGate(clock, lambda: opens - clock(), go)
            assert line.try_pass()
            begun = clock()

            async def stand(number: int) -> None:
                await line.wait_turn()
                passed.append((number, round(clock() - begun, 3)))

            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(stand(number))
            assert not len(line)
            return passed

        assert in_virtual_time(story) == [(0, 1), (1, 2), (2, 3), (3, 4)]

    def test_those_who_are_urgent_pass_first_in_the_order_of_their_coming(self) -> None:
        async def story(clock: Clock) -> list[str]:
            opens = clock() + 5
            passed: list[str] = []

            def go() -> None:
                nonlocal opens
                opens = clock() + 1

            line = FifoGate(clock, lambda: opens - clock(), go)

            async def stand(name: str, *, is_urgent: bool = False) -> None:
                await line.wait_turn(is_urgent=is_urgent)
                passed.append(name)

            async with asyncio.TaskGroup() as group:
                for name in ("first", "second"):
                    group.create_task(stand(name))
                await asyncio.sleep(1)
                leaving, *_ = [group.create_task(stand(name, is_urgent=True)) for name in ("gone", "urgent", "too")]
                await asyncio.sleep(1)
                leaving.cancel()
            return passed

        assert in_virtual_time(story) == ["urgent", "too", "first", "second"]

    def test_one_who_gives_up_passes_the_turn_on_and_leaves_nothing(self) -> None:
        async def story(clock: Clock) -> float:
            opens = clock() + 10
            line = FifoGate(clock, lambda: opens - clock(), lambda: None)
            first, second, third = (asyncio.create_task(line.wait_turn()) for _ in range(3))
            await asyncio.sleep(1)
            assert not line.try_pass()
            first.cancel()
            await asyncio.sleep(1)
            third.cancel()
            await second
            assert first.cancelled()
            assert third.cancelled()
            assert not len(line)
            return opens - clock()

        assert in_virtual_time(story) == pytest.approx(0, abs=0.01)

    def test_one_who_gives_up_in_the_moment_of_the_turn_passes_it_on(self) -> None:
        async def story(clock: Clock) -> None:
            is_open = False
            line = FifoGate(clock, lambda: 0.0 if is_open else inf, lambda: None)
            first, second = (asyncio.create_task(line.wait_turn()) for _ in range(2))
            await asyncio.sleep(0)
            is_open = True
            line.wake()
            line.wake()
            first.cancel()
            await second

            assert first.cancelled()

        in_virtual_time(story)

    def test_the_moment_of_the_turn_and_a_nudge_may_coincide(self) -> None:
        async def story(clock: Clock) -> None:
            opens = clock() + 1
            line = FifoGate(clock, lambda: opens - clock(), lambda: None)
            asyncio.get_running_loop().call_later(1, line.wake)
            await line.wait_turn()

            assert clock() >= opens

        in_virtual_time(story)

    def test_one_who_would_come_too_late_is_told_so_at_once(self) -> None:
        async def story(clock: Clock) -> float:
            opens = clock() + 10
            line = FifoGate(clock, lambda: opens - clock(), lambda: None)
            waiting = asyncio.create_task(line.wait_turn())
            await asyncio.sleep(0)
            begun = clock()
            with pytest.raises(TurnDeadlineError):
                await line.wait_turn(deadline=begun + 9)
            took = clock() - begun
            await waiting
            return took

        assert in_virtual_time(story) == 0

    def test_one_before_whom_others_stand_waits_until_it_is_too_late(self) -> None:
        async def story(clock: Clock) -> float:
            line = FifoGate(clock, lambda: inf, lambda: None)
            first = asyncio.create_task(line.wait_turn())
            await asyncio.sleep(0)
            begun = clock()
            with pytest.raises(TurnDeadlineError):
                await line.wait_turn(deadline=begun + 3)
            first.cancel()
            return clock() - begun

        assert in_virtual_time(story) == pytest.approx(3)


class TestTheWindow:
    def test_begins_with_eight_and_grows_by_one_a_success(self) -> None:
        window = AimdWindow()
        for _ in range(100):
            window.increase(50)

        assert AimdWindow().limit == 8
        assert window.limit == 50

    def test_a_refusal_takes_three_tenths_once_a_round_trip(self) -> None:
        window = AimdWindow()
        for _ in range(42):
            window.increase(50)
        for _ in range(50):
            window.decrease(epoch=0)

        assert window.limit == 35
        window.decrease(epoch=1)
        assert window.limit == 24

    def test_after_a_refusal_it_grows_by_one_a_round_trip(self) -> None:
        window = AimdWindow()
        window.decrease(epoch=0)
        for _ in range(6):
            window.increase(50)

        assert window.limit == 6

    def test_it_never_falls_below_one(self) -> None:
        window = AimdWindow()
        for cuts in range(20):
            window.decrease(cuts)

        assert window.limit == 1

    def test_two_jobs_share_it(self) -> None:
        async def story(clock: Clock) -> None:
            pace = Throttle(clock)
            one, other = BulkLimiter(pace, 8, None), BulkLimiter(pace, 8, None)
            passages = [one.try_acquire() for _ in range(8)]
            waiting = asyncio.create_task(other.acquire())
            await asyncio.sleep(1)
            assert not waiting.done()
            assert other.try_acquire() is None
            end(passages.pop())
            passages.append(await waiting)
            for passage in passages:
                end(passage)

            assert pace.concurrency.in_flight == 0

        in_virtual_time(story)


def end(passage: Permit | None) -> None:
    assert passage is not None
    passage.release(is_success=False)


class TestALane:
    def test_one_at_a_time_stands_at_the_gate(self) -> None:
        async def story(clock: Clock) -> None:
            pace = Throttle(clock)
            pace.is_unthrottled = False
            lane = BulkLimiter(pace, 8, None)
            first = await lane.acquire()
            second, third = (asyncio.create_task(lane.acquire()) for _ in range(2))
            await asyncio.sleep(1)
            assert not second.done()
            first.mark_sent()
            end(await second)
            third.cancel()
            first.on_throttled()
            end(first)
            assert lane.throttle.window.limit == 5
            assert lane.throttle.window.in_flight == 0

        in_virtual_time(story)

    async def test_all_for_whom_there_is_room_go_in_one_turn_of_the_loop(self) -> None:
        lane = BulkLimiter(Throttle(), 64, None)
        passages = [lane.try_acquire() for _ in range(8)]

        async def go() -> None:
            passage = await lane.acquire()
            passage.mark_sent()
            passages.append(passage)

        waiting = [asyncio.create_task(go()) for _ in range(6)]
        await asyncio.sleep(0)
        for passage in passages[:4]:
            end(passage)
        await asyncio.sleep(0)

        assert [task.done() for task in waiting] == [True] * 4 + [False] * 2
        for passage in passages[4:]:
            end(passage)
        await asyncio.gather(*waiting)

    @pytest.mark.parametrize("known", [RateLimit(100, per=60), None])
    async def test_where_they_go_one_at_a_time_only_the_first_is_woken(self, known: RateLimit | None) -> None:
        lane = BulkLimiter(Throttle(), 64, known)
        lane.throttle.is_unthrottled = known is not None
        gone = []

        async def go() -> None:
            passage = await lane.acquire()
            passage.mark_sent()
            gone.append(passage)

        waiting = [asyncio.create_task(go()) for _ in range(20)]
        await asyncio.sleep(0.01)
        assert len(gone) == 8
        for _ in range(4):
            end(gone.pop())

        assert sum(bell.done() for bell in lane._gate._queue) == 1
        while not all(task.done() for task in waiting):
            end(gone.pop())
            await asyncio.sleep(0)

    def test_those_that_were_in_flight_together_are_turned_away_once(self) -> None:
        lane = BulkLimiter(Throttle(), 8, None)
        before = [lane.try_acquire() for _ in range(2)]
        for passage in before:
            assert passage is not None
            passage.on_throttled()
        assert lane.window.limit == 5
        after = lane.try_acquire()
        assert after is not None
        after.on_throttled()
        assert lane.window.limit == 3
        for passage in (*before, after):
            end(passage)

        assert lane.window.in_flight == 0


class TestARateLimit:
    @pytest.mark.parametrize(("requests", "per"), [(0, 1), (1.5, 1), (True, 1), (5, 0), (5, -1), (5, inf), (5, "1")])
    def test_must_be_one(self, requests: Any, per: Any) -> None:
        with pytest.raises(ConfigurationError):
            RateLimit(requests, per=per)

    def test_shows_what_it_is(self) -> None:
        assert repr(RateLimit(300, per=60)) == "RateLimit(requests=300, per=60)"


class TestTheBudget:
    def test_is_used_up_by_retries_down_to_what_is_kept_for_cancels(self, caplog: pytest.LogCaptureFixture) -> None:
        budget = RetryBudget()
        spent = [budget.spend(is_throttled=False, is_cancel=False) for _ in range(40)]
        assert (sum(spent), budget.tokens) == (28, 108)
        assert [budget.spend(is_throttled=True, is_cancel=False) for _ in range(3)] == [True, False, False]
        assert [budget.spend(is_throttled=False, is_cancel=True) for _ in range(8)] == [True] * 7 + [False]

        assert budget.tokens == 5
        assert len(caplog.records) == 1
        assert "retry budget is used up" in caplog.text

    def test_is_filled_by_successes(self, caplog: pytest.LogCaptureFixture) -> None:
        budget = RetryBudget()
        for _ in range(2):
            while budget.spend(is_throttled=False, is_cancel=True):
                pass
            for _ in range(600):
                budget.refund()

        assert budget.tokens == 500
        assert len(caplog.records) == 2
