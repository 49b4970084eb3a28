"""The schedule of waits, without a server: intervals, seats, and who looks when."""

import asyncio
from itertools import islice
from typing import Any

import pytest

from retab_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ClientStateError,
    InternalServerError,
    InvalidRunIdError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    RetabError,
    ValidationError,
)
from retab_async.models import Primitive, Run, RunStatus
from retab_async.polling import RawPage, Snapshot, Waiter
from retab_async.polling.state import RunWait, WaitSession, intervals, is_fatal

CALL: dict[str, Any] = {"method": "GET", "url": "/v1/splits/splt_1"}
GOING = Primitive(id="splt_1", status=RunStatus.IN_PROGRESS)
DONE = Primitive(id="splt_1", status=RunStatus.COMPLETED)


def seat_of(*seconds: float) -> RunWait[Run]:
    return RunWait("splt_1", iter(seconds))


def api(kind: type[Any], status: int, **told: Any) -> Any:
    return kind("refused", status_code=status, **CALL, **told)


class TestIntervals:
    def test_grow_by_half_up_to_ten_seconds(self) -> None:
        longest = list(islice(intervals(None, lambda _, high: high), 40))

        assert longest[:3] == pytest.approx([0.6, 0.9, 1.35])
        assert longest == sorted(longest)
        assert longest[-1] == pytest.approx(10)

    def test_are_spread_by_a_fifth(self) -> None:
        shortest = islice(intervals(None, lambda low, _: low), 9)
        longest = islice(intervals(None, lambda _, high: high), 9)
        drawn = islice(intervals(None), 9)

        for low, between, high in zip(shortest, drawn, longest, strict=True):
            assert low <= between <= high
            assert high / low == pytest.approx(1.5)

    def test_that_are_given_stay_as_they_are(self) -> None:
        assert list(islice(intervals(0.25), 5)) == [0.25] * 5


class TestSeat:
    def test_looks_at_once_and_then_after_its_intervals(self) -> None:
        seat = seat_of(1, 2, 3)
        due = [seat.next_poll]
        for _ in range(3):
            seat.observe(Snapshot(GOING, is_whole=False), max(100.0, seat.next_poll))
            due.append(seat.next_poll)

        assert due == [0, 101, 103, 106]

    def test_a_hint_is_the_next_interval_exactly(self) -> None:
        seat = seat_of(1, 2)
        seat.observe(Snapshot(GOING, is_whole=False, hint=7.5), 100)

        assert seat.next_poll == 107.5

    def test_a_hint_of_nothing_is_none(self) -> None:
        seat = seat_of(1)
        seat.observe(Snapshot(GOING, is_whole=False, hint=0.0), 100)

        assert seat.next_poll == 101

    def test_what_others_show_it_does_not_make_it_look_more_rarely(self) -> None:
        seat = seat_of(1, 2)
        seat.observe(Snapshot(GOING, is_whole=False), 100)
        seat.observe(Snapshot(GOING, is_whole=False), 100.4)

        assert seat.next_poll == 101.4

    def test_a_look_within_half_an_interval_counts_as_its_own(self) -> None:
        seat = seat_of(1, 2)
        seat.observe(Snapshot(GOING, is_whole=False), 100)
        seat.observe(Snapshot(GOING, is_whole=False), 100.5)

        assert seat.next_poll == 102.5

    def test_a_server_that_asks_for_more_time_has_it(self) -> None:
        seat = seat_of(1, 2)
        seat.fail(api(RateLimitError, 429, retry_after=30), 100)
        assert seat.next_poll == 130

        seat.fail(api(RateLimitError, 429, retry_after=0.5), 130)
        assert seat.next_poll == 132

    def test_three_404s_in_a_row_are_its_end(self) -> None:
        seat, lost = seat_of(*range(9)), api(NotFoundError, 404)
        for _ in range(2):
            seat.fail(lost, 100)
        seat.observe(Snapshot(GOING, is_whole=False), 100)
        for _ in range(2):
            seat.fail(lost, 100)
        assert seat.result is None

        seat.fail(lost, 100)
        assert seat.result is lost

    def test_wants_the_output_at_once_when_a_cheap_read_says_that_it_is_over(self) -> None:
        seat = seat_of(1)
        seat.observe(Snapshot(DONE, is_whole=False), 100)

        assert (seat.next_poll, seat.needs_output, seat.result) == (100, True, None)

    def test_tells_a_status_once(self) -> None:
        seat = seat_of(1, 2)

        assert seat.observe(Snapshot(GOING, is_whole=False), 100)
        assert not seat.observe(Snapshot(GOING, is_whole=False), 101)
        assert seat.observe(Snapshot(DONE, is_whole=False), 102)
        assert not seat.observe(Snapshot(DONE, is_whole=True), 102)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (InvalidRunIdError("../x"), True),
        (ClientStateError("closed"), True),
        (api(ValidationError, 422), True),
        (api(NotFoundError, 404), False),
        (api(RateLimitError, 429), False),
        (api(InternalServerError, 501), True),
        (api(InternalServerError, 502), False),
        (api(ResponseError, 200), False),
        (APITimeoutError("late", **CALL), False),
        (APIConnectionError("not trusted", transient=False, **CALL), True),
    ],
    ids=str,
)
def test_an_error_is_final_or_not(error: RetabError, *, final: bool) -> None:
    assert is_fatal(error) is final


class Script:
    """A collection whose runs are over when a test says so, and which can be held up."""

    is_listed = True
    has_output = True

    def __init__(self, count: int) -> None:
        self.statuses = {f"splt_{number}": "in_progress" for number in range(count)}
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: Exception | None = None
        # Of reads with the output alone; and what the list shows in place of what is.
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


async def started(lookout: Waiter[Run], ids: Any, **told: Any) -> "list[asyncio.Task[Run]]":
    waits = [asyncio.create_task(lookout.wait(run_id, **{"poll_interval": 0.02} | told)) for run_id in ids]
    await asyncio.sleep(0.01)
    return waits


async def test_who_is_not_due_is_told_by_a_sweep_too() -> None:
    script = Script(9)
    lookout: Waiter[Run] = Waiter(script)
    (patient,) = await started(lookout, ["splt_8"], poll_interval=60)
    others = await started(lookout, list(script.statuses)[:8])
    script.finish()
    async with asyncio.timeout(1):
        ends = await asyncio.gather(patient, *others)

    assert {run.status for run in ends} == {RunStatus.COMPLETED}
    assert script.calls.count("splt_8") == 1


async def test_those_whose_time_comes_during_a_sweep_wait_for_its_end() -> None:
    script = Script(12)
    lookout: Waiter[Run] = Waiter(script)
    waits = await started(lookout, list(script.statuses)[:11])
    script.gate.clear()
    await asyncio.sleep(0.06)
    late = await started(lookout, ["splt_11"])
    script.finish()
    count = len(script.calls)
    script.gate.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waits, *late)

    assert set(script.calls[:count]) == {"list"}
    assert script.calls[count:] == ["splt_11", "splt_11"]


async def test_one_that_has_seen_the_end_does_not_believe_a_list_that_lags() -> None:
    script = Script(9)
    lookout: Waiter[Run] = Waiter(script)
    told: list[str] = []
    script.lag = dict(script.statuses)
    script.finish("splt_0")
    script.output_trouble = api(InternalServerError, 503)
    (first,) = await started(lookout, ["splt_0"], on_status=lambda run: told.append(run.status))
    others = await started(lookout, list(script.statuses)[1:])
    assert "list" in script.calls

    script.output_trouble = None
    script.lag.clear()
    script.finish()
    async with asyncio.timeout(1):
        await asyncio.gather(first, *others)

    assert told == ["completed"]


async def test_what_is_no_error_of_ours_reaches_the_one_who_met_it() -> None:
    script = Script(10)
    script.trouble = TimeoutError("of the reads, not of the wait")
    lookout: Waiter[Run] = Waiter(script)
    waits = await started(lookout, script.statuses)
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert {type(end) for end in ends} == {TimeoutError}
    assert not lookout._poller._sessions


async def test_a_timeout_that_passed_while_nobody_waited_is_told_without_a_look() -> None:
    script = Script(3)
    script.finish("splt_0")
    waits = Waiter(script).wait_many(script.statuses, timeout=0.05, poll_interval=0.01)
    first = await anext(waits)
    await asyncio.sleep(0.06)
    count = len(script.calls)
    with pytest.raises(ExceptionGroup) as told:
        await anext(waits)

    assert first.id == "splt_0"
    assert len(told.value.exceptions) == 2
    assert len(script.calls) == count


def test_what_comes_after_the_end_is_too_late() -> None:
    party: WaitSession[Run] = WaitSession(["splt_1"], 1.0)
    seat = party.waits["splt_1"]
    party.observe(seat, Snapshot(DONE, is_whole=True), 100)
    party.observe(seat, Snapshot(GOING, is_whole=True), 101)
    party.fail(seat, api(ValidationError, 422), 102)

    assert list(party.results) == [DONE]
    assert list(party.changes) == [DONE]


async def test_an_interval_may_be_longer_than_any_loop_can_bear() -> None:
    script = Script(1)
    waits = await started(Waiter(script), script.statuses, poll_interval=1e15, timeout=None)

    assert script.calls == ["splt_0"]
    waits[0].cancel()


async def test_a_sweep_does_not_revive_what_was_closed() -> None:
    script = Script(10)
    lookout: Waiter[Run] = Waiter(script)
    many = lookout.wait_many(["splt_0"], poll_interval=0.02)
    pending = asyncio.ensure_future(many.__anext__())
    waits = await started(lookout, list(script.statuses)[1:])
    script.gate.clear()
    await asyncio.sleep(0.06)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    await many.aclose()
    script.finish()
    script.gate.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waits)

    with pytest.raises(StopAsyncIteration):
        await anext(many)
