"""Waits on the emulator: what ends them, what they are told, and how many requests they take together."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from clients import ONCE, client_for, connections_in_use
from raw_server import until

from retab_async import (
    APIError,
    AsyncRetab,
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    InvalidRequestError,
    InvalidRunIdError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
    ValidationError,
)
from retab_async.emulator import Emulator, Fault, RateLimit
from retab_async.errors import InternalServerError, WaitTimeoutError
from retab_async.models import RunStatus
from retab_async.polling import Waiter
from retab_async.resources.splits import Split

READ = "GET /v1/splits/{id}"
LIST = "GET /v1/splits"
LISTED = "/v1/splits"
CHEAP = "include_output=false"


def watch_over(client: AsyncRetab) -> Waiter[Split]:
    return Waiter(client.splits._api)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=0.1) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as opened:
        yield opened


@pytest.fixture
def watch(client: AsyncRetab) -> Waiter[Split]:
    return watch_over(client)


def tasks() -> "set[asyncio.Task[Any]]":
    """All tasks, but for those in which the emulator serves its connections."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


def asked(emulator: Emulator) -> list[tuple[str, str]]:
    return [(served.path, served.query) for served in emulator.requests]


def lists(emulator: Emulator) -> int:
    return sum(served.path == LISTED for served in emulator.requests)


async def ends_of(runs: AsyncIterator[Split]) -> list[str]:
    return [run.id async for run in runs]


def causes(group: ExceptionGroup[Exception]) -> Counter[type[Exception]]:
    return Counter(type(error) for error in group.exceptions)


class TestOne:
    async def test_comes_back_with_its_output(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")
        run = await watch.wait(run_id, poll_interval=0.02)

        assert run.status == "completed"
        assert run.output

    async def test_is_read_cheaply_until_it_is_over_and_in_full_once(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        await watch.wait(run_id, poll_interval=0.02)
        queries = [query for _, query in asked(emulator)]

        assert len(queries) > 2
        assert queries == [CHEAP] * (len(queries) - 1) + [""]

    @pytest.mark.parametrize("error", [None, {"code": "bad_document", "message": "It could not be read."}])
    async def test_whatever_its_status(
        self, error: dict[str, str] | None, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", error=error)
        run = await watch.wait(run_id, poll_interval=0.02)

        assert run.status == ("failed" if error else "completed")

    async def test_that_is_cancelled_meanwhile(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", running=60)
        waiting = asyncio.create_task(watch.wait(run_id, poll_interval=0.02))
        await asyncio.sleep(0.05)
        await client.splits.cancel(run_id)

        assert (await waiting).status == "cancelled"

    async def test_that_is_over_takes_two_requests(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        await watch.wait(run_id)

        assert len(emulator.requests) == 2

    async def test_the_hint_of_the_server_wins(self) -> None:
        async with (
            Emulator(queued=0, running=0.3, poll_after=0.4) as emulator,
            client_for(emulator.url) as client,
        ):
            (run_id,) = emulator.seed("splits")
            async with asyncio.timeout(2):
                await watch_over(client).wait(run_id, poll_interval=30)

        assert len(emulator.requests) == 3

    async def test_each_status_is_told_once(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", queued=0.2, running=0.2)
        told: list[Split] = []
        await watch.wait(run_id, poll_interval=0.01, on_status=told.append)

        assert [run.status for run in told] == ["queued", "in_progress", "completed"]

    async def test_what_is_raised_on_being_told_goes_to_who_waits(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        first, second = emulator.seed("splits", 2)

        def refuse(_: Split) -> None:
            msg = "enough"
            raise KeyError(msg)

        waits = (watch.wait(first, poll_interval=0.02, on_status=refuse), watch.wait(second, poll_interval=0.02))
        told, run = await asyncio.gather(*waits, return_exceptions=True)

        assert isinstance(told, KeyError)
        assert isinstance(run, Split)

    @pytest.mark.parametrize("name", ["timeout", "poll_interval"])
    @pytest.mark.parametrize("value", [0, -1, float("nan"), True, "1"])
    async def test_seconds_are_checked_before_anything_is_sent(
        self, name: str, value: Any, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        with pytest.raises(ConfigurationError, match=name):
            await watch.wait("splt_1", **{name: value})
        assert not emulator.requests

    async def test_of_no_limit_waits_for_ever(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")

        assert (await watch.wait(run_id, timeout=None, poll_interval=0.02)).status == "completed"


class TestTrouble:
    async def test_that_passes_does_not_end_a_wait(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(503)] * 9, Fault.reset(), Fault.status(200, body="<html>"))
        run = await watch.wait(run_id, poll_interval=0.02)

        assert run.status == "completed"

    async def test_that_passes_while_the_output_is_fetched(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        cheap = {"id": run_id, "status": "completed"}
        emulator.fail(READ, Fault.status(200, body=cheap), Fault.status(502))
        async with client_for(emulator.url, retry=ONCE) as client:
            run = await watch_over(client).wait(run_id, poll_interval=0.02)

        assert run.output
        assert [query for _, query in asked(emulator)] == [CHEAP, "", ""]

    async def test_a_stale_answer_with_the_output_is_asked_for_again(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        statuses = ("completed", "in_progress")
        emulator.fail(READ, *(Fault.status(200, body={"id": run_id, "status": status}) for status in statuses))
        told: list[Split] = []
        run = await watch.wait(run_id, poll_interval=0.02, on_status=told.append)

        assert run.output
        assert [query for _, query in asked(emulator)] == [CHEAP, "", CHEAP, ""]
        assert [run.status for run in told] == ["completed", "in_progress", "completed"]

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, APIError), (401, AuthenticationError), (403, PermissionDeniedError), (422, ValidationError)],
    )
    async def test_that_will_not_pass_ends_it_at_once(
        self, status: int, kind: type[APIError], emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.status(status))

        with pytest.raises(kind):
            await watch.wait(run_id)
        assert len(emulator.requests) == 1

    async def test_the_third_404_in_a_row_ends_it(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        with pytest.raises(NotFoundError):
            await watch.wait("splt_unheard_of", poll_interval=0.02)
        assert len(emulator.requests) == 3

    async def test_a_run_that_is_not_everywhere_yet_is_waited_for(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", running=0.1)
        lost = Fault.status(404)
        going = Fault.status(200, body={"id": run_id, "status": "queued"})
        emulator.fail(READ, lost, lost, going, lost, lost)

        assert (await watch.wait(run_id, poll_interval=0.02)).status == "completed"

    async def test_the_third_answer_of_another_shape_in_a_row_ends_it(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(200, body={"id": run_id, "status": 7})] * 3)

        with pytest.raises(ResponseError, match="status"):
            await watch.wait(run_id, poll_interval=0.02)

    async def test_an_id_that_is_none_ends_it_at_once(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        with pytest.raises(InvalidRunIdError):
            await watch.wait("../files")
        assert not emulator.requests

    async def test_a_client_that_is_closed_ends_it_at_once(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 10, running=60)
        waits = [asyncio.create_task(watch.wait(run_id, poll_interval=0.05)) for run_id in ids]
        await asyncio.sleep(0.1)
        await client.aclose()
        async with asyncio.timeout(2):
            ends = await asyncio.gather(*waits, return_exceptions=True)

        assert {type(end) for end in ends} == {ClientStateError}
        assert len({id(end) for end in ends}) == len(ends)

    async def test_a_timeout_tells_the_last_run_seen(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=60)

        with pytest.raises(
            WaitTimeoutError, match=f"run {run_id} did not finish within 0.3 s: last seen in_progress"
        ) as told:
            await watch.wait(run_id, timeout=0.3, poll_interval=0.02)
        assert (told.value.run_id, told.value.timeout) == (run_id, 0.3)
        assert told.value.run is not None
        assert told.value.run.status == "in_progress"
        assert told.value.__cause__ is None

    async def test_a_timeout_tells_what_went_wrong_last(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(503)] * 100)
        async with client_for(emulator.url, retry=ONCE) as client:
            with pytest.raises(TimeoutError) as told:
                await watch_over(client).wait(run_id, timeout=0.1, poll_interval=0.03)

        assert isinstance(told.value, WaitTimeoutError)
        assert told.value.run is None
        assert isinstance(told.value.__cause__, InternalServerError)

    async def test_a_timeout_ends_a_request_that_hangs(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.hang())

        with pytest.raises(WaitTimeoutError, match="never seen"):
            await watch.wait(run_id, timeout=0.1)
        assert connections_in_use(client) == 0

    async def test_what_a_busy_server_asks_for_is_not_shortened(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        emulator.fail(READ, Fault.status(429, retry_after=0.2))
        began = asyncio.get_running_loop().time()
        async with client_for(emulator.url, retry=ONCE) as client:
            await watch_over(client).wait(run_id, poll_interval=0.01)

        assert asyncio.get_running_loop().time() - began >= 0.2


class TestTogether:
    async def test_seven_read_one_by_one(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 7)
        await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert lists(emulator) == 0

    async def test_eight_share_one_list_a_tick(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 8)
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert all(run.output for run in runs)
        assert len(emulator.requests) == lists(emulator) <= 4

    async def test_a_thousand_that_start_together_take_a_list_of_ten_pages_a_tick(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 1000, running=0.5)
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=1) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert len(emulator.requests) == lists(emulator) <= 50

    async def test_two_who_wait_for_the_same_run_both_have_it(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 4)
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids * 2))

        assert [run.id for run in runs] == ids * 2
        assert len(emulator.requests) == lists(emulator)

    async def test_each_is_told_of_its_changes_by_whoever_looks(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 10, queued=0.2, running=0.2)
        told: dict[str, list[tuple[str, object]]] = {run_id: [] for run_id in ids}

        async def wait(run_id: str) -> None:
            def note(run: Split) -> None:
                told[run_id].append((run.status, asyncio.current_task()))

            await watch.wait(run_id, poll_interval=0.03, on_status=note)

        async with asyncio.TaskGroup() as waits:
            tasks = {run_id: waits.create_task(wait(run_id)) for run_id in ids}

        statuses = ("queued", "in_progress", "completed")
        assert told == {run_id: [(status, tasks[run_id]) for status in statuses] for run_id in ids}

    async def test_those_far_down_the_list_are_read_singly(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        old = emulator.seed("splits", 10, running=0)
        emulator.seed("splits", 2000)
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in old))

        assert [run.id for run in runs] == old
        assert lists(emulator) == 10
        assert len(emulator.requests) == 30

    async def test_one_that_the_list_has_not_is_read_singly(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 9)
        waits = [watch.wait(run_id, poll_interval=0.05) for run_id in [*ids, "splt_unheard_of"]]
        *runs, lost = await asyncio.gather(*waits, return_exceptions=True)

        assert [run.id for run in runs if isinstance(run, Split)] == ids
        assert isinstance(lost, NotFoundError)

    async def test_an_outage_ends_none_of_them(self, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 10)
        emulator.fail("*", *[Fault.status(503)] * 2, Fault.reset())
        async with client_for(emulator.url, retry=ONCE) as client:
            watch = watch_over(client)
            runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.04) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert lists(emulator) >= 2

    async def test_a_list_that_alone_is_out_of_order_leaves_them_to_single_reads(self, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 10, running=0)
        emulator.fail(LIST, *[Fault.status(500)] * 1000)
        async with client_for(emulator.url, retry=ONCE) as client:
            watch = watch_over(client)
            async with asyncio.timeout(3):
                await asyncio.gather(*(watch.wait(run_id, poll_interval=0.02) for run_id in ids))

        assert lists(emulator) == 3

    @pytest.mark.parametrize("fault", [Fault.status(403), Fault.status(404), Fault.status(200, body="<html>")])
    async def test_a_list_that_is_refused_is_not_asked_for_again(
        self, fault: Fault, emulator: Emulator, watch: Waiter[Split], caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = emulator.seed("splits", 10)
        emulator.fail(LIST, *[fault] * 100)
        with caplog.at_level(logging.DEBUG, "retab_async"):
            runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert lists(emulator) == 1
        assert "one by one" in caplog.text

    async def test_a_cursor_that_has_gone_stale_ends_one_walk_and_no_more(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 150, running=0.5)
        page = {"data": [], "list_metadata": {"before": None, "after": "splt_deleted"}}
        emulator.fail(LIST, Fault.status(200, body=page), Fault.status(422))
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert lists(emulator) > 2

    @pytest.mark.parametrize("cursor", ["splt_again", "", None, 7])
    async def test_a_cursor_that_leads_nowhere_ends_the_walk(
        self, cursor: object, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 20, running=0)
        page = {"data": [7, {"id": None}, {"id": ["a"]}, {"id": ids[0]}], "list_metadata": {"after": cursor}}
        emulator.fail(LIST, *[Fault.status(200, body=page)] * 100)
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert lists(emulator) == (2 if cursor == "splt_again" else 1)

    async def test_a_row_that_is_not_all_of_a_run_is_followed_by_a_read(
        self, emulator: Emulator, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 10, running=0)
        rows = [{"id": run_id, "status": "completed"} for run_id in ids]
        emulator.fail(LIST, Fault.status(200, body={"data": rows}))
        runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert all(run.output for run in runs)
        assert Counter(asked(emulator)) == {(LISTED, "limit=100"): 1} | {
            (f"{LISTED}/{run_id}", ""): 1 for run_id in ids
        }

    async def test_the_hint_of_a_list_wins(self) -> None:
        async with (
            Emulator(queued=0, running=0.3, poll_after=0.4) as emulator,
            client_for(emulator.url) as client,
        ):
            watch = watch_over(client)
            async with asyncio.timeout(2):
                await asyncio.gather(*(watch.wait(run_id) for run_id in emulator.seed("splits", 10)))

        assert len(emulator.requests) == lists(emulator) == 2

    async def test_a_rate_limit_is_lived_with(self) -> None:
        async with (
            Emulator(queued=0, running=0.2, rate_limit=RateLimit(5, per=0.3, retry_after=False)) as emulator,
            client_for(emulator.url) as client,
        ):
            watch = watch_over(client)
            ids = emulator.seed("splits", 50)
            runs = await asyncio.gather(*(watch.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids

    @pytest.mark.parametrize("leaving", ["cancelled", "timed out"])
    async def test_when_the_one_who_looks_leaves_another_takes_over(
        self, leaving: str, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 12, running=0)
        emulator.fail(LIST, Fault.hang())
        patience = 0.1 if leaving == "timed out" else 60
        first = asyncio.create_task(watch.wait(ids[0], timeout=patience))
        others = [asyncio.create_task(watch.wait(run_id)) for run_id in ids[1:]]
        await asyncio.sleep(0.05)
        if leaving == "cancelled":
            first.cancel()
        async with asyncio.timeout(2):
            runs = await asyncio.gather(*others)

        assert [run.id for run in runs] == ids[1:]
        with pytest.raises(asyncio.CancelledError if leaving == "cancelled" else WaitTimeoutError):
            await first
        assert lists(emulator) == 2
        assert connections_in_use(client) == 0

    async def test_all_cancelled_leave_nothing_behind(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 30, running=60)
        before = tasks()
        waits = [asyncio.create_task(watch.wait(run_id, poll_interval=0.02)) for run_id in ids]
        await asyncio.sleep(0.1)
        for wait in waits:
            wait.cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)

        assert {type(end) for end in ends} == {asyncio.CancelledError}
        await until(lambda: tasks() == before)
        assert not watch._poller._sessions
        assert connections_in_use(client) == 0
        assert (await watch.wait(emulator.seed("splits", running=0)[0])).status == "completed"

    @pytest.mark.parametrize("count", [1, 12])
    async def test_a_cancel_scope_of_anyio_ends_them(
        self, count: int, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        anyio = pytest.importorskip("anyio")
        ids = emulator.seed("splits", count, running=60)
        with anyio.move_on_after(0.1) as scope:
            async with anyio.create_task_group() as waits:
                for run_id in ids:
                    waits.start_soon(watch.wait, run_id)

        assert scope.cancelled_caught
        assert not watch._poller._sessions
        assert connections_in_use(client) == 0


class TestMany:
    async def test_come_as_they_end(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = [emulator.seed("splits", running=length)[0] for length in (0.4, 0.2, 0)]

        assert await ends_of(watch.wait_many(ids, poll_interval=0.02)) == ids[::-1]

    async def test_share_their_looks_from_eight_on(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 300)

        assert sorted(await ends_of(watch.wait_many(ids, poll_interval=0.15))) == sorted(ids)
        assert len(emulator.requests) == lists(emulator) <= 12

    async def test_of_no_ids_end_at_once(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        assert await ends_of(watch.wait_many([])) == []
        assert not emulator.requests

    async def test_an_id_given_twice_comes_once(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 2, running=0)

        assert sorted(await ends_of(watch.wait_many(ids * 3))) == sorted(ids)
        assert len(emulator.requests) == 4

    async def test_one_text_is_not_taken_for_its_letters(self, watch: Waiter[Split]) -> None:
        with pytest.raises(ConfigurationError, match="not the one text 'splt_1'"):
            watch.wait_many("splt_1")

    async def test_what_failed_comes_together_after_the_others(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 3)
        waits = watch.wait_many(["../files", *ids, "splt_unheard_of"], poll_interval=0.02)
        seen = [(await anext(waits)).id for _ in ids]
        with pytest.raises(ExceptionGroup, match="2 of 5 waits failed") as told:
            await anext(waits)

        assert sorted(seen) == sorted(ids)
        assert causes(told.value) == {InvalidRunIdError: 1, NotFoundError: 1}
        assert await ends_of(waits) == []

    async def test_those_not_over_in_time_are_among_what_failed(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        quick = emulator.seed("splits", 2, running=0)
        slow = emulator.seed("splits", 9, running=60)
        waits = watch.wait_many([*slow, *quick], timeout=0.5, poll_interval=0.05)
        seen = [(await anext(waits)).id for _ in quick]
        with pytest.raises(ExceptionGroup, match="9 of 11 waits failed") as told:
            await anext(waits)

        assert sorted(seen) == sorted(quick)
        errors = [error for error in told.value.exceptions if isinstance(error, WaitTimeoutError)]
        assert [error.run_id for error in errors] == slow
        assert {error.run and error.run.status for error in errors} == {RunStatus.IN_PROGRESS}

    async def test_reads_that_hang_are_ended_with_the_time(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 3)
        emulator.fail(READ, *[Fault.hang()] * 3)
        before = tasks()
        with pytest.raises(ExceptionGroup) as told:
            await anext(watch.wait_many(ids, timeout=0.1))

        assert causes(told.value) == {WaitTimeoutError: 3}
        assert connections_in_use(client) == 0
        assert tasks() == before

    async def test_single_reads_are_sixteen_at_once_at_the_most(self) -> None:
        async with Emulator(latency=0.05) as emulator, client_for(emulator.url, max_connections=100) as client:
            ids = emulator.seed("splits", 20, queued=0, running=0)
            emulator.fail(LIST, Fault.status(403))
            most = 0
            waits = watch_over(client).wait_many(ids)
            pending = asyncio.ensure_future(waits.__anext__())
            while not pending.done():
                most = max(most, connections_in_use(client))
                await asyncio.sleep(0.002)
            first = await pending

            assert sorted([first.id, *await ends_of(waits)]) == sorted(ids)
            assert most == 16

    async def test_left_early_leave_nothing_behind(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = [*emulator.seed("splits", running=0), *emulator.seed("splits", 20, running=60)]
        before = tasks()
        async for _ in watch.wait_many(ids, poll_interval=0.01):
            break
        count = len(emulator.requests)
        await asyncio.sleep(0.1)

        assert len(emulator.requests) == count
        assert tasks() == before
        assert not watch._poller._sessions
        assert connections_in_use(client) == 0

    async def test_closed_give_no_more(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        waits = watch.wait_many(emulator.seed("splits", 3, running=0))
        await anext(waits)
        await waits.aclose()

        assert await ends_of(waits) == []

    async def test_cancelled_can_be_gone_on_with(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 5, running=0.2)
        waits = watch.wait_many(ids, poll_interval=0.02)
        pending = asyncio.ensure_future(waits.__anext__())
        await asyncio.sleep(0.1)
        before = tasks() - {pending}
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending

        assert connections_in_use(client) == 0
        assert tasks() <= before
        assert sorted(await ends_of(waits)) == sorted(ids)

    async def test_two_cannot_share_one_iterator(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        waits = watch.wait_many(emulator.seed("splits", 3, running=60))
        pending = asyncio.ensure_future(waits.__anext__())
        await asyncio.sleep(0.05)

        with pytest.raises(RuntimeError, match="waited for already"):
            await anext(waits)
        pending.cancel()

    async def test_each_change_of_each_is_told(self, emulator: Emulator, watch: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 9, running=0.3)
        told: list[tuple[str, str]] = []
        runs = watch.wait_many(ids, poll_interval=0.03, on_status=lambda run: told.append((run.id, run.status)))
        await ends_of(runs)

        assert sorted(told) == sorted((run_id, status) for run_id in ids for status in ("completed", "in_progress"))

    async def test_with_a_client_that_is_closed_fail_together(
        self, emulator: Emulator, client: AsyncRetab, watch: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 20)
        await client.aclose()

        with pytest.raises(ExceptionGroup) as told:
            await ends_of(watch.wait_many(ids))
        assert causes(told.value) == {ClientStateError: 20}


class TestByTheClient:
    async def test_a_run_is_as_good_as_its_id(self, emulator: Emulator, client: AsyncRetab) -> None:
        split = await client.splits.get(*emulator.seed("splits"))

        assert (await client.splits.wait(split)).status is RunStatus.COMPLETED
        assert [run.id async for run in client.splits.wait_many([split, split.id])] == [split.id]

    async def test_one_id_is_not_many(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match="several"):
            client.splits.wait_many("splt_1")

    async def test_a_run_is_not_many(self, client: AsyncRetab, emulator: Emulator) -> None:
        split = await client.splits.get(*emulator.seed("splits"))

        with pytest.raises(InvalidRequestError, match="several"):
            client.splits.wait_many(split)  # type: ignore[arg-type]

    async def test_a_callback_that_would_have_to_be_awaited_is_refused(self, client: AsyncRetab) -> None:
        async def tell(_: Split) -> None: ...

        with pytest.raises(ConfigurationError, match="not awaited"):
            await client.splits.wait("splt_1", on_status=tell)

    async def test_only_a_404_after_a_404_counts(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.status(404), Fault.reset())
        emulator.fail(READ, Fault.status(404), Fault.status(500), Fault.status(404), Fault.status(404))

        async with client_for(emulator.url, retry=ONCE) as impatient:
            run = await impatient.splits.wait(run_id, poll_interval=0.01)

        assert run.status is RunStatus.COMPLETED
