"""Schedule of waits, without a server: intervals, state of a wait, and which task polls when."""

import asyncio
from itertools import islice
from math import inf
from typing import Any

import pytest

from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ClientStateError,
    InternalServerError,
    InvalidRunIdError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    ResponseTooLargeError,
    RetabError,
    ValidationError,
    WaitTimeoutError,
)
from retab_async.models import Primitive, Run, RunStatus
from retab_async.polling import RawPage, Snapshot, Waiter, WaitIterator
from retab_async.polling.state import RunWait, WaitSession, intervals, max_repeats

CALL: dict[str, Any] = {"method": "GET", "url": "/v1/splits/splt_1"}
RUNNING = Primitive(id="splt_1", status=RunStatus.IN_PROGRESS)
DONE = Primitive(id="splt_1", status=RunStatus.COMPLETED)


def wait_of(*seconds: float) -> RunWait[Run]:
    return RunWait("splt_1", iter(seconds))


def api(error_type: type[Any], status: int, **changes: Any) -> Any:
    return error_type("refused", status_code=status, **CALL, **changes)


class TestIntervals:
    def test_grow_by_half_up_to_ten_seconds(self) -> None:
        longest = list(islice(intervals(None, lambda _, high: high), 40))

        assert longest[:3] == pytest.approx([0.6, 0.9, 1.35])
        assert longest == sorted(longest)
        assert longest[-1] == pytest.approx(10)

    def test_have_a_jitter_of_a_fifth(self) -> None:
        shortest = islice(intervals(None, lambda low, _: low), 9)
        longest = islice(intervals(None, lambda _, high: high), 9)
        drawn = islice(intervals(None), 9)

        for low, between, high in zip(shortest, drawn, longest, strict=True):
            assert low <= between <= high
            assert high / low == pytest.approx(1.5)

    def test_fixed_ones_are_constant(self) -> None:
        assert list(islice(intervals(0.25), 5)) == [0.25] * 5


class TestRunWait:
    def test_polls_at_once_and_then_after_its_intervals(self) -> None:
        wait = wait_of(1, 2, 3)
        due = [wait.next_poll]
        for _ in range(3):
            wait.observe(Snapshot(RUNNING, is_whole=False), max(100.0, wait.next_poll))
            due.append(wait.next_poll)

        assert due == [0, 101, 103, 106]

    def test_hint_is_the_next_interval(self) -> None:
        wait = wait_of(1, 2)
        wait.observe(Snapshot(RUNNING, is_whole=False, hint=7.5), 100)

        assert wait.next_poll == 107.5

    def test_hint_of_zero_is_ignored(self) -> None:
        wait = wait_of(1)
        wait.observe(Snapshot(RUNNING, is_whole=False, hint=0.0), 100)

        assert wait.next_poll == 101

    def test_snapshot_between_two_polls_does_not_lengthen_the_interval(self) -> None:
        wait = wait_of(1, 2)
        wait.observe(Snapshot(RUNNING, is_whole=False), 100)
        wait.observe(Snapshot(RUNNING, is_whole=False), 100.4)

        assert wait.next_poll == 101.4

    def test_snapshot_within_half_an_interval_counts_as_its_poll(self) -> None:
        wait = wait_of(1, 2)
        wait.observe(Snapshot(RUNNING, is_whole=False), 100)
        wait.observe(Snapshot(RUNNING, is_whole=False), 100.5)

        assert wait.next_poll == 102.5

    def test_retry_after_postpones_the_next_poll(self) -> None:
        wait = wait_of(1, 2)
        wait.fail(api(RateLimitError, 429, retry_after=30), 100)
        assert wait.next_poll == 130

        wait.fail(api(RateLimitError, 429, retry_after=0.5), 130)
        assert wait.next_poll == 132

    def test_three_404s_in_a_row_end_it(self) -> None:
        wait, lost = wait_of(*range(9)), api(NotFoundError, 404)
        for _ in range(2):
            wait.fail(lost, 100)
        wait.observe(Snapshot(RUNNING, is_whole=False), 100)
        for _ in range(2):
            wait.fail(lost, 100)
        assert wait.result is None

        wait.fail(lost, 100)
        assert wait.result is lost

    def test_terminal_status_without_output_makes_the_output_due_at_once(self) -> None:
        wait = wait_of(1)
        wait.observe(Snapshot(DONE, is_whole=False), 100)

        assert (wait.next_poll, wait.needs_output, wait.result) == (100, True, None)

    def test_reports_a_status_once(self) -> None:
        wait = wait_of(1, 2)

        assert wait.observe(Snapshot(RUNNING, is_whole=False), 100)
        assert not wait.observe(Snapshot(RUNNING, is_whole=False), 101)
        assert wait.observe(Snapshot(DONE, is_whole=False), 102)
        assert not wait.observe(Snapshot(DONE, is_whole=True), 102)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidRunIdError("../x"), 1),
        (ClientStateError("closed"), 1),
        (api(AuthenticationError, 401), 1),
        (api(PermissionDeniedError, 403), 1),
        (api(ValidationError, 422), 1),
        (api(APIError, 418), 1),
        (api(NotFoundError, 404), 3),
        (api(RateLimitError, 429), inf),
        (api(APIError, 302), inf),
        (api(InternalServerError, 501), inf),
        (api(InternalServerError, 502), inf),
        (api(InternalServerError, 599), inf),
        (api(ResponseError, 200), 5),
        (api(ResponseError, 200, path="status"), 3),
        (api(ResponseTooLargeError, 200), 1),
        (APITimeoutError("late", **CALL), inf),
        (APITimeoutError("no turn before the deadline", transient=False, **CALL), inf),
        (APIConnectionError("not trusted", transient=False, **CALL), 5),
    ],
    ids=str,
)
def test_error_ends_a_wait_after_repeats(error: RetabError, expected: float) -> None:
    wait = wait_of(*range(20))
    polls = 0
    while wait.result is None and polls < 10:
        wait.fail(error, 100.0 + polls)
        polls += 1

    assert max_repeats(error) == expected
    assert polls == min(expected, 10)
    assert wait.result is (error if expected < 10 else None)


def test_different_unreadable_responses_do_not_end_a_wait() -> None:
    wait = wait_of(*range(20))
    for number in range(10):
        wait.fail(ResponseError(f"not JSON: page {number}", status_code=200, **CALL), 100)

    assert wait.result is None


def test_404_ends_no_wait_before_the_run_is_visible() -> None:
    wait: RunWait[Run] = RunWait("splt_1", iter(range(20)), not_found_until=160)
    for now in (100, 120, 140, 159):
        wait.fail(api(NotFoundError, 404), now)
    assert wait.result is None
    assert isinstance(wait.timed_out(59, 159), WaitTimeoutError)

    wait.fail(api(NotFoundError, 404), 161)
    assert isinstance(wait.result, NotFoundError)


def test_timeout_of_a_run_that_was_never_found_is_a_not_found_error() -> None:
    wait, error = wait_of(1, 2), api(NotFoundError, 404)
    wait.fail(error, 100)

    assert wait.timed_out(0.5, 100.5) is error


def test_timeout_of_a_run_that_was_seen_before_a_404_is_a_timeout() -> None:
    wait = wait_of(1, 2)
    wait.observe(Snapshot(RUNNING, is_whole=False), 100)
    wait.fail(api(NotFoundError, 404), 101)

    assert isinstance(wait.timed_out(1, 101), WaitTimeoutError)


class TestWaitSession:
    @pytest.mark.parametrize("hint", [None, 0.01])
    def test_fixed_interval_takes_precedence_over_hints(self, hint: float | None) -> None:
        session: WaitSession[Run] = WaitSession(["splt_1"], 2.0)
        session.observe(session.waits["splt_1"], Snapshot(RUNNING, is_whole=False, hint=hint), 100)

        assert session.waits["splt_1"].next_poll == 102

    def test_absurd_hint_is_bounded(self) -> None:
        session: WaitSession[Run] = WaitSession(["splt_1"], None)
        session.observe(session.waits["splt_1"], Snapshot(RUNNING, is_whole=False, hint=86400), 100)

        assert session.waits["splt_1"].next_poll == 400

    async def test_unchanged_snapshot_wakes_its_task_only_for_an_earlier_poll(self) -> None:
        session: WaitSession[Run] = WaitSession(["splt_1"], None)
        wait = session.waits["splt_1"]
        session.observe(wait, Snapshot(RUNNING, is_whole=False, hint=50), 100)
        pausing = asyncio.create_task(session.pause(60))
        await asyncio.sleep(0)
        session.observe(wait, Snapshot(RUNNING, is_whole=False, hint=60), 100)
        await asyncio.sleep(0)
        assert not pausing.done()

        session.observe(wait, Snapshot(RUNNING, is_whole=False, hint=1), 101)
        async with asyncio.timeout(1):
            await pausing

    def test_retry_after_exempts_from_the_last_poll(self) -> None:
        session: WaitSession[Run] = WaitSession(["splt_1", "splt_2"], 9.0)
        throttled, running = session.waits.values()
        session.fail(throttled, api(RateLimitError, 429, retry_after=30), 100)
        session.observe(running, Snapshot(RUNNING, is_whole=False), 100)
        session.poll_once_more(101)

        assert (throttled.next_poll, running.next_poll) == (130, 101)
        assert not session.is_polled_since(101)
        session.observe(running, Snapshot(DONE, is_whole=False), 102)
        assert not session.is_polled_since(101)
        session.observe(running, Snapshot(DONE, is_whole=True), 103)
        assert session.is_polled_since(101)


class FakeSource:
    """Source whose runs finish when a test says so, and whose responses can be held up."""

    is_listed = True
    has_output = True

    def __init__(self, count: int) -> None:
        self.statuses = {f"splt_{number}": "in_progress" for number in range(count)}
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: Exception | None = None
        # Error of reads with output; and statuses that the list shows instead of the current ones.
        self.output_trouble: Exception | None = None
        self.lag: dict[str, str] = {}

    async def fetch(self, run_id: str, *, include_output: bool) -> tuple[Run, float | None]:
        self.calls.append(run_id)
        await self._pass()
        if include_output and self.output_trouble is not None:
            raise self.output_trouble
        return Primitive(id=run_id, status=RunStatus(self.statuses[run_id])), None

    async def fetch_raw_page(self, after: str | None) -> RawPage:
        self.calls.append(after or "list")
        await self._pass()
        return RawPage([{"id": run_id, "status": status} for run_id, status in (self.statuses | self.lag).items()])

    def read_row(self, row: dict[str, Any]) -> tuple[Run, bool] | None:
        return Primitive(id=row["id"], status=RunStatus(row["status"])), True

    async def _pass(self) -> None:
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble

    def finish(self, *run_ids: str) -> None:
        self.statuses.update(dict.fromkeys(run_ids or self.statuses, "completed"))


async def start_waits(waiter: Waiter[Run], ids: Any, **changes: Any) -> "list[asyncio.Task[Run]]":
    waits = [asyncio.create_task(waiter.wait(run_id, **{"poll_interval": 0.02} | changes)) for run_id in ids]
    await asyncio.sleep(0.01)
    return waits


async def test_list_scan_also_reports_to_waits_that_are_not_due() -> None:
    source = FakeSource(9)
    waiter: Waiter[Run] = Waiter(source)
    (patient,) = await start_waits(waiter, ["splt_8"], poll_interval=60)
    others = await start_waits(waiter, list(source.statuses)[:8])
    source.finish()
    async with asyncio.timeout(1):
        results = await asyncio.gather(patient, *others)

    assert {run.status for run in results} == {RunStatus.COMPLETED}
    assert source.calls.count("splt_8") == 1


async def test_waits_that_become_due_during_a_scan_wait_for_its_end() -> None:
    source = FakeSource(12)
    waiter: Waiter[Run] = Waiter(source)
    waits = await start_waits(waiter, list(source.statuses)[:11])
    source.gate.clear()
    await asyncio.sleep(0.06)
    late = await start_waits(waiter, ["splt_11"])
    source.finish()
    count = len(source.calls)
    source.gate.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waits, *late)

    assert set(source.calls[:count]) == {"list"}
    assert source.calls[count:] == ["splt_11", "splt_11"]


async def test_list_that_lags_does_not_undo_a_terminal_status() -> None:
    source = FakeSource(9)
    waiter: Waiter[Run] = Waiter(source)
    changes: list[str] = []
    source.lag = dict(source.statuses)
    source.finish("splt_0")
    source.output_trouble = api(InternalServerError, 503)
    (first,) = await start_waits(waiter, ["splt_0"], on_status=lambda run: changes.append(run.status))
    others = await start_waits(waiter, list(source.statuses)[1:])
    assert "list" in source.calls

    source.output_trouble = None
    source.lag.clear()
    source.finish()
    async with asyncio.timeout(1):
        await asyncio.gather(first, *others)

    assert changes == ["completed"]


async def test_foreign_exception_of_a_read_reaches_its_caller() -> None:
    source = FakeSource(10)
    source.trouble = TimeoutError("of the reads, not of the wait")
    waiter: Waiter[Run] = Waiter(source)
    waits = await start_waits(waiter, source.statuses)
    results = await asyncio.gather(*waits, return_exceptions=True)

    assert {type(result) for result in results} == {TimeoutError}
    assert not waiter._poller._sessions


@pytest.mark.parametrize("finished", [1, 3])
async def test_timeout_that_passed_between_two_steps_polls_once_more(finished: int) -> None:
    source = FakeSource(3)
    source.finish("splt_0")
    waits = Waiter(source).wait_many(source.statuses, timeout=0.05, poll_interval=0.01)
    first = await anext(waits)
    source.finish(*list(source.statuses)[:finished])
    await asyncio.sleep(0.06)
    source.calls.clear()
    others = [run.id for run in await take(waits, finished - 1)]

    assert [first.id, *others] == list(source.statuses)[:finished]
    if finished == 1:
        with pytest.raises(ExceptionGroup) as raised:
            await anext(waits)
        assert {type(error) for error in raised.value.exceptions} == {WaitTimeoutError}
    assert sorted(set(source.calls)) == ["splt_1", "splt_2"]


async def take(waits: WaitIterator[Run], count: int) -> list[Run]:
    return [await anext(waits) for _ in range(count)]


async def test_last_poll_that_hangs_is_cut_off() -> None:
    source = FakeSource(1)
    source.gate.clear()
    began = asyncio.get_running_loop().time()
    with pytest.raises(WaitTimeoutError):
        await Waiter(source).wait("splt_0", timeout=0.05)

    assert source.calls == ["splt_0", "splt_0"]
    assert asyncio.get_running_loop().time() - began < 5


async def test_last_poll_fetches_the_output_of_a_run_that_has_finished() -> None:
    source = FakeSource(1)
    waiting = asyncio.create_task(Waiter(source).wait("splt_0", timeout=0.1, poll_interval=60))
    await asyncio.sleep(0.05)
    source.finish()

    assert (await waiting).status is RunStatus.COMPLETED
    assert source.calls == ["splt_0"] * 3


def test_session_ignores_polls_after_a_result() -> None:
    session: WaitSession[Run] = WaitSession(["splt_1"], 1.0)
    wait = session.waits["splt_1"]
    session.observe(wait, Snapshot(DONE, is_whole=True), 100)
    session.observe(wait, Snapshot(RUNNING, is_whole=True), 101)
    session.fail(wait, api(ValidationError, 422), 102)

    assert list(session.results) == [DONE]
    assert list(session.changes) == [DONE]


async def test_interval_may_be_longer_than_a_loop_supports() -> None:
    source = FakeSource(1)
    waits = await start_waits(Waiter(source), source.statuses, poll_interval=1e15, timeout=None)

    assert source.calls == ["splt_0"]
    waits[0].cancel()


async def test_scan_does_not_revive_a_closed_iterator() -> None:
    source = FakeSource(10)
    waiter: Waiter[Run] = Waiter(source)
    many = waiter.wait_many(["splt_0"], poll_interval=0.02)
    pending = asyncio.ensure_future(many.__anext__())
    waits = await start_waits(waiter, list(source.statuses)[1:])
    source.gate.clear()
    await asyncio.sleep(0.06)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    await many.aclose()
    source.finish()
    source.gate.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waits)

    with pytest.raises(StopAsyncIteration):
        await anext(many)
