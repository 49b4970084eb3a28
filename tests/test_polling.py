"""Waits against the emulator: results, errors, callbacks, and the number of requests that batched waits need."""

import asyncio
import logging
import time
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
from retab_async.emulator import Emulator, Fault, ManualClock, RateLimit
from retab_async.errors import InternalServerError, WaitTimeoutError
from retab_async.models import RunStatus
from retab_async.polling import Waiter
from retab_async.resources.splits import Split

READ = "GET /v1/splits/{id}"
LIST = "GET /v1/splits"
LISTED = "/v1/splits"
CHEAP = "include_output=false"


def waiter_for(client: AsyncRetab) -> Waiter[Split]:
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
def waiter(client: AsyncRetab) -> Waiter[Split]:
    return waiter_for(client)


def tasks() -> "set[asyncio.Task[Any]]":
    """Return all tasks but those in which the emulator serves its connections."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


def requests_of(emulator: Emulator) -> list[tuple[str, str]]:
    return [(request.path, request.query) for request in emulator.requests]


def list_count(emulator: Emulator) -> int:
    return sum(request.path == LISTED for request in emulator.requests)


async def ids_in_order(runs: AsyncIterator[Split]) -> list[str]:
    return [run.id async for run in runs]


def error_types(group: ExceptionGroup[Exception]) -> Counter[type[Exception]]:
    return Counter(type(error) for error in group.exceptions)


class TestWait:
    async def test_returns_the_run_with_its_output(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")
        run = await waiter.wait(run_id, poll_interval=0.02)

        assert run.status == "completed"
        assert run.output

    async def test_reads_without_output_until_the_run_is_terminal(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        await waiter.wait(run_id, poll_interval=0.02)
        queries = [query for _, query in requests_of(emulator)]

        assert len(queries) > 2
        assert queries == [CHEAP] * (len(queries) - 1) + [""]

    @pytest.mark.parametrize("error", [None, {"code": "bad_document", "message": "It could not be read."}])
    async def test_returns_failed_and_completed_runs(
        self, error: dict[str, str] | None, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", error=error)
        run = await waiter.wait(run_id, poll_interval=0.02)

        assert run.status == ("failed" if error else "completed")

    async def test_returns_a_run_that_is_cancelled_meanwhile(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", running=60)
        waiting = asyncio.create_task(waiter.wait(run_id, poll_interval=0.02))
        await asyncio.sleep(0.05)
        await client.splits.cancel(run_id)

        assert (await waiting).status == "cancelled"

    async def test_finished_run_takes_two_requests(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        await waiter.wait(run_id)

        assert len(emulator.requests) == 2

    @pytest.mark.parametrize(("poll_interval", "requests"), [(None, 3), (0.4, 3), (0.04, 9)])
    async def test_hint_is_used_unless_an_interval_is_given(self, poll_interval: float | None, requests: int) -> None:
        hint = 0.4 if poll_interval is None else 30
        async with (
            Emulator(queued=0, running=0.35, poll_after=hint) as emulator,
            client_for(emulator.url) as client,
        ):
            (run_id,) = emulator.seed("splits")
            async with asyncio.timeout(2):
                await waiter_for(client).wait(run_id, poll_interval=poll_interval)

        assert len(emulator.requests) == requests or (requests == 9 and 3 < len(emulator.requests) <= 12)

    async def test_hint_does_not_extend_past_the_timeout(self) -> None:
        async with (
            Emulator(queued=0, running=0.2, poll_after=30) as emulator,
            client_for(emulator.url) as client,
        ):
            (run_id,) = emulator.seed("splits")
            run = await waiter_for(client).wait(run_id, timeout=0.4)

        assert run.status == "completed"
        assert len(emulator.requests) == 3

    @pytest.mark.parametrize("count", [1, 9])
    async def test_process_frozen_past_the_timeout_polls_once_more(
        self, count: int, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", count, running=0.3)
        waits = [asyncio.create_task(waiter.wait(run_id, timeout=0.5, poll_interval=0.2)) for run_id in ids]
        await asyncio.sleep(0.05)
        time.sleep(0.8)  # noqa: ASYNC251 - a frozen process runs no other task

        assert {run.status for run in await asyncio.gather(*waits)} == {RunStatus.COMPLETED}

    async def test_on_status_is_called_once_per_status(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", queued=0.2, running=0.2)
        changes: list[Split] = []
        await waiter.wait(run_id, poll_interval=0.01, on_status=changes.append)

        assert [run.status for run in changes] == ["queued", "in_progress", "completed"]

    async def test_exception_of_on_status_reaches_its_own_caller(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        first, second = emulator.seed("splits", 2)

        def refuse(_: Split) -> None:
            msg = "enough"
            raise KeyError(msg)

        waits = (waiter.wait(first, poll_interval=0.02, on_status=refuse), waiter.wait(second, poll_interval=0.02))
        failure, run = await asyncio.gather(*waits, return_exceptions=True)

        assert isinstance(failure, KeyError)
        assert isinstance(run, Split)

    @pytest.mark.parametrize("name", ["timeout", "poll_interval"])
    @pytest.mark.parametrize("value", [0, -1, float("nan"), True, "1"])
    async def test_invalid_seconds_are_refused_before_any_request(
        self, name: str, value: Any, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        with pytest.raises(ConfigurationError, match=name):
            await waiter.wait("splt_1", **{name: value})
        assert not emulator.requests

    async def test_timeout_none_has_no_limit(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")

        assert (await waiter.wait(run_id, timeout=None, poll_interval=0.02)).status == "completed"


class TestErrors:
    async def test_transient_failures_do_not_end_a_wait(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(503)] * 9, Fault.reset(), Fault.status(200, body="<html>"))
        run = await waiter.wait(run_id, poll_interval=0.02)

        assert run.status == "completed"

    async def test_transient_failure_of_the_output_read_does_not_end_a_wait(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        cheap = {"id": run_id, "status": "completed"}
        emulator.fail(READ, Fault.status(200, body=cheap), Fault.status(502))
        async with client_for(emulator.url, retry=ONCE) as client:
            run = await waiter_for(client).wait(run_id, poll_interval=0.02)

        assert run.output
        assert [query for _, query in requests_of(emulator)] == [CHEAP, "", ""]

    async def test_stale_output_read_is_repeated(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        statuses = ("completed", "in_progress")
        emulator.fail(READ, *(Fault.status(200, body={"id": run_id, "status": status}) for status in statuses))
        changes: list[Split] = []
        run = await waiter.wait(run_id, poll_interval=0.02, on_status=changes.append)

        assert run.output
        assert [query for _, query in requests_of(emulator)] == [CHEAP, "", CHEAP, ""]
        assert [run.status for run in changes] == ["completed", "in_progress", "completed"]

    @pytest.mark.parametrize(
        ("status", "error_type"),
        [(400, APIError), (401, AuthenticationError), (403, PermissionDeniedError), (422, ValidationError)],
    )
    async def test_refusal_ends_a_wait_at_once(
        self, status: int, error_type: type[APIError], emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.status(status))

        with pytest.raises(error_type):
            await waiter.wait(run_id)
        assert len(emulator.requests) == 1

    async def test_third_404_in_a_row_ends_a_wait(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        with pytest.raises(NotFoundError):
            await waiter.wait("splt_unheard_of", poll_interval=0.02)
        assert len(emulator.requests) == 3

    async def test_run_that_is_not_visible_everywhere_yet_is_waited_for(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits", running=0.1)
        lost = Fault.status(404)
        going = Fault.status(200, body={"id": run_id, "status": "queued"})
        emulator.fail(READ, lost, lost, going, lost, lost)

        assert (await waiter.wait(run_id, poll_interval=0.02)).status == "completed"

    async def test_third_response_of_another_shape_in_a_row_ends_a_wait(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(200, body={"id": run_id, "status": 7})] * 3)

        with pytest.raises(ResponseError, match="status"):
            await waiter.wait(run_id, poll_interval=0.02)

    @pytest.mark.parametrize(
        "fault",
        [Fault.status(200, body="<html>"), Fault.status(200, body=""), Fault.status(200, body="[]")],
        ids=["html", "empty", "list"],
    )
    async def test_response_that_stays_unreadable_ends_a_wait(
        self, fault: Fault, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[fault] * 100)

        with pytest.raises(ResponseError):
            await waiter.wait(run_id, poll_interval=0.01)
        assert len(emulator.requests) == 5

    async def test_output_that_stays_unreadable_ends_a_wait(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        cheap = Fault.status(200, body={"id": run_id, "status": "completed"})
        emulator.fail(READ, cheap, *[Fault.status(200, body='{"id":')] * 100)

        with pytest.raises(ResponseError):
            await waiter.wait(run_id, poll_interval=0.01)
        assert len(emulator.requests) == 6

    @pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 501, 503, 505, 507, 520, 524, 529, 530])
    async def test_gateway_status_does_not_end_a_wait(self, status: int, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits", running=0.1)
        emulator.fail(READ, *[Fault.status(status)] * 9)
        async with client_for(emulator.url, retry=ONCE) as client:
            run = await waiter_for(client).wait(run_id, poll_interval=0.01)

        assert run.status == "completed"

    @pytest.mark.parametrize("count", [1, 9])
    async def test_unknown_id_is_not_found_though_the_timeout_is_short(
        self, count: int, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        waits = (waiter.wait(f"splt_unknown{number}", timeout=0.2) for number in range(count))
        results = await asyncio.gather(*waits, return_exceptions=True)

        assert {type(result) for result in results} == {NotFoundError}
        assert connections_in_use(client) == 0

    async def test_run_of_this_client_is_waited_for_until_it_is_visible(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        emulator.fail(READ, *[Fault.status(404)] * 9)
        until_visible = time.monotonic() + 60
        waiter = Waiter(client.splits._api, lambda _: until_visible)

        assert (await waiter.wait(run_id, poll_interval=0.01)).status == "completed"
        with pytest.raises(WaitTimeoutError) as raised:
            await waiter.wait("splt_invisible", timeout=0.1, poll_interval=0.01)
        assert isinstance(raised.value.__cause__, NotFoundError)

    async def test_invalid_id_ends_a_wait_before_any_request(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        with pytest.raises(InvalidRunIdError):
            await waiter.wait("../files")
        assert not emulator.requests

    async def test_closed_client_ends_waits_at_once(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 10, running=60)
        waits = [asyncio.create_task(waiter.wait(run_id, poll_interval=0.05)) for run_id in ids]
        await asyncio.sleep(0.1)
        await client.aclose()
        async with asyncio.timeout(2):
            results = await asyncio.gather(*waits, return_exceptions=True)

        assert {type(result) for result in results} == {ClientStateError}
        assert len({id(result) for result in results}) == len(results)

    async def test_timeout_error_names_the_last_run_seen(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        (run_id,) = emulator.seed("splits", running=60)

        with pytest.raises(
            WaitTimeoutError, match=f"run {run_id} did not finish within 0.3 s: last seen in_progress"
        ) as raised:
            await waiter.wait(run_id, timeout=0.3, poll_interval=0.02)
        assert (raised.value.run_id, raised.value.timeout) == (run_id, 0.3)
        assert raised.value.run is not None
        assert raised.value.run.status == "in_progress"
        assert raised.value.__cause__ is None

    async def test_timeout_error_has_the_last_failure_as_cause(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, *[Fault.status(503)] * 100)
        async with client_for(emulator.url, retry=ONCE) as client:
            with pytest.raises(TimeoutError) as raised:
                await waiter_for(client).wait(run_id, timeout=0.1, poll_interval=0.03)

        assert isinstance(raised.value, WaitTimeoutError)
        assert raised.value.run is None
        assert isinstance(raised.value.__cause__, InternalServerError)

    async def test_timeout_ends_a_request_that_hangs(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.hang(), Fault.hang())

        with pytest.raises(WaitTimeoutError, match="never seen"):
            await waiter.wait(run_id, timeout=0.1)
        assert len(emulator.requests) == 2
        assert connections_in_use(client) == 0

    async def test_retry_after_of_a_failed_poll_is_waited_for(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits", running=0)
        emulator.fail(READ, Fault.status(429, retry_after=0.2))
        began = asyncio.get_running_loop().time()
        async with client_for(emulator.url, retry=ONCE) as client:
            await waiter_for(client).wait(run_id, poll_interval=0.01)

        assert asyncio.get_running_loop().time() - began >= 0.2


class TestBatching:
    async def test_seven_waits_are_read_one_by_one(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 7)
        await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert list_count(emulator) == 0

    async def test_eight_waits_share_one_list_request_per_poll(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 8)
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert all(run.output for run in runs)
        assert len(emulator.requests) == list_count(emulator) <= 4

    async def test_thousand_waits_take_ten_pages_per_poll(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 1000, running=0.5)
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=1) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert len(emulator.requests) == list_count(emulator) <= 50

    async def test_two_waits_for_one_run_both_return_it(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 4)
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids * 2))

        assert [run.id for run in runs] == ids * 2
        assert len(emulator.requests) == list_count(emulator)

    async def test_on_status_is_called_in_the_task_of_its_own_wait(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 10, queued=0.2, running=0.2)
        changes: dict[str, list[tuple[str, object]]] = {run_id: [] for run_id in ids}

        async def wait(run_id: str) -> None:
            def note(run: Split) -> None:
                changes[run_id].append((run.status, asyncio.current_task()))

            await waiter.wait(run_id, poll_interval=0.03, on_status=note)

        async with asyncio.TaskGroup() as waits:
            tasks = {run_id: waits.create_task(wait(run_id)) for run_id in ids}

        statuses = ("queued", "in_progress", "completed")
        assert changes == {run_id: [(status, tasks[run_id]) for status in statuses] for run_id in ids}

    async def test_runs_far_down_the_list_are_read_singly(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        old = emulator.seed("splits", 10, running=0)
        emulator.seed("splits", 2000)
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in old))

        assert [run.id for run in runs] == old
        assert list_count(emulator) == 10
        assert len(emulator.requests) == 30

    async def test_run_that_is_not_listed_is_read_singly(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 9)
        waits = [waiter.wait(run_id, poll_interval=0.05) for run_id in [*ids, "splt_unheard_of"]]
        *runs, lost = await asyncio.gather(*waits, return_exceptions=True)

        assert [run.id for run in runs if isinstance(run, Split)] == ids
        assert isinstance(lost, NotFoundError)

    async def test_outage_ends_no_wait(self, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 10)
        emulator.fail("*", *[Fault.status(503)] * 2, Fault.reset())
        async with client_for(emulator.url, retry=ONCE) as client:
            waiter = waiter_for(client)
            runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.04) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert list_count(emulator) >= 2

    async def test_failing_list_is_replaced_by_single_reads(self, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 10, running=0)
        emulator.fail(LIST, *[Fault.status(500)] * 1000)
        async with client_for(emulator.url, retry=ONCE) as client:
            waiter = waiter_for(client)
            async with asyncio.timeout(3):
                await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.02) for run_id in ids))

        assert list_count(emulator) == 3

    @pytest.mark.parametrize("fault", [Fault.status(403), Fault.status(404), Fault.status(200, body="<html>")])
    async def test_refused_list_is_not_requested_again(
        self, fault: Fault, emulator: Emulator, waiter: Waiter[Split], caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = emulator.seed("splits", 10)
        emulator.fail(LIST, *[fault] * 100)
        with caplog.at_level(logging.DEBUG, "retab_async"):
            runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert list_count(emulator) == 1
        assert "one by one" in caplog.text

    async def test_stale_cursor_ends_one_scan_only(self) -> None:
        clock = ManualClock()
        async with Emulator(queued=0, running=1, clock=clock) as emulator, client_for(emulator.url) as client:
            waiter = waiter_for(client)
            ids = emulator.seed("splits", 150)
            page = {"data": [], "list_metadata": {"before": None, "after": "splt_deleted"}}
            emulator.fail(LIST, Fault.status(200, body=page), Fault.status(422))
            waits = asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))
            await until(lambda: list_count(emulator) > 2)
            clock.advance(2)

            assert [run.id for run in await waits] == ids

    @pytest.mark.parametrize("cursor", ["splt_again", "", None, 7])
    async def test_cursor_without_progress_ends_the_scan(
        self, cursor: object, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 20, running=0)
        page = {"data": [7, {"id": None}, {"id": ["a"]}, {"id": ids[0]}], "list_metadata": {"after": cursor}}
        emulator.fail(LIST, *[Fault.status(200, body=page)] * 100)
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids
        assert list_count(emulator) == (2 if cursor == "splt_again" else 1)

    async def test_row_without_output_is_followed_by_a_read(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 10, running=0)
        rows = [{"id": run_id, "status": "completed"} for run_id in ids]
        emulator.fail(LIST, Fault.status(200, body={"data": rows}))
        runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert all(run.output for run in runs)
        assert Counter(requests_of(emulator)) == {(LISTED, "limit=100"): 1} | {
            (f"{LISTED}/{run_id}", ""): 1 for run_id in ids
        }

    async def test_the_hint_of_a_list_wins(self) -> None:
        async with (
            Emulator(queued=0, running=0.3, poll_after=0.4) as emulator,
            client_for(emulator.url) as client,
        ):
            waiter = waiter_for(client)
            async with asyncio.timeout(2):
                await asyncio.gather(*(waiter.wait(run_id) for run_id in emulator.seed("splits", 10)))

        assert len(emulator.requests) == list_count(emulator) == 2

    async def test_rate_limited_waits_finish(self) -> None:
        async with (
            Emulator(queued=0, running=0.2, rate_limit=RateLimit(5, per=0.3, retry_after=False)) as emulator,
            client_for(emulator.url) as client,
        ):
            waiter = waiter_for(client)
            ids = emulator.seed("splits", 50)
            runs = await asyncio.gather(*(waiter.wait(run_id, poll_interval=0.05) for run_id in ids))

        assert [run.id for run in runs] == ids

    @pytest.mark.parametrize("leaving", ["cancelled", "timed out"])
    async def test_another_wait_takes_over_when_the_polling_one_ends(
        self, leaving: str, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = [*emulator.seed("splits", running=60), *emulator.seed("splits", 11, running=0)]
        emulator.fail(LIST, Fault.hang())
        timeout = 0.5 if leaving == "timed out" else 60
        first = asyncio.create_task(waiter.wait(ids[0], timeout=timeout))
        others = [asyncio.create_task(waiter.wait(run_id)) for run_id in ids[1:]]
        await until(lambda: list_count(emulator) == 1)
        if leaving == "cancelled":
            first.cancel()
        async with asyncio.timeout(5):
            runs = await asyncio.gather(*others)

        assert [run.id for run in runs] == ids[1:]
        with pytest.raises(asyncio.CancelledError if leaving == "cancelled" else WaitTimeoutError):
            await first
        assert list_count(emulator) == 2
        assert connections_in_use(client) == 0

    async def test_cancelled_waits_leave_nothing_behind(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 30, running=60)
        before = tasks()
        waits = [asyncio.create_task(waiter.wait(run_id, poll_interval=0.02)) for run_id in ids]
        await asyncio.sleep(0.1)
        for wait in waits:
            wait.cancel()
        results = await asyncio.gather(*waits, return_exceptions=True)

        assert {type(result) for result in results} == {asyncio.CancelledError}
        await until(lambda: tasks() == before)
        assert not waiter._poller._sessions
        assert connections_in_use(client) == 0
        assert (await waiter.wait(emulator.seed("splits", running=0)[0])).status == "completed"

    @pytest.mark.parametrize("count", [1, 12])
    async def test_anyio_cancel_scope_ends_waits(
        self, count: int, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        anyio = pytest.importorskip("anyio")
        ids = emulator.seed("splits", count, running=60)
        with anyio.move_on_after(0.1) as scope:
            async with anyio.create_task_group() as waits:
                for run_id in ids:
                    waits.start_soon(waiter.wait, run_id)

        assert scope.cancelled_caught
        assert not waiter._poller._sessions
        assert connections_in_use(client) == 0


class TestWaitMany:
    async def test_yields_runs_as_they_finish(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = [emulator.seed("splits", running=length)[0] for length in (0.4, 0.2, 0)]

        assert await ids_in_order(waiter.wait_many(ids, poll_interval=0.02)) == ids[::-1]

    async def test_is_batched_from_eight_runs_on(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 300, running=1)

        assert sorted(await ids_in_order(waiter.wait_many(ids, poll_interval=0.7))) == sorted(ids)
        assert len(emulator.requests) == list_count(emulator) <= 12

    async def test_no_ids_yield_nothing(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        assert await ids_in_order(waiter.wait_many([])) == []
        assert not emulator.requests

    async def test_repeated_id_is_yielded_once(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 2, running=0)

        assert sorted(await ids_in_order(waiter.wait_many(ids * 3))) == sorted(ids)
        assert len(emulator.requests) == 4

    async def test_single_string_is_refused(self, waiter: Waiter[Split]) -> None:
        with pytest.raises(ConfigurationError, match="not the one string 'splt_1'"):
            waiter.wait_many("splt_1")

    async def test_failures_are_raised_together_after_the_runs(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        ids = emulator.seed("splits", 3)
        waits = waiter.wait_many(["../files", *ids, "splt_unheard_of"], poll_interval=0.02)
        seen = [(await anext(waits)).id for _ in ids]
        with pytest.raises(ExceptionGroup, match="2 of 5 waits failed") as raised:
            await anext(waits)

        assert sorted(seen) == sorted(ids)
        assert error_types(raised.value) == {InvalidRunIdError: 1, NotFoundError: 1}
        assert await ids_in_order(waits) == []

    async def test_timeouts_are_among_the_failures(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        quick = emulator.seed("splits", 2, running=0)
        slow = emulator.seed("splits", 9, running=60)
        waits = waiter.wait_many([*slow, *quick], timeout=0.5, poll_interval=0.05)
        seen = [(await anext(waits)).id for _ in quick]
        with pytest.raises(ExceptionGroup, match="9 of 11 waits failed") as raised:
            await anext(waits)

        assert sorted(seen) == sorted(quick)
        errors = [error for error in raised.value.exceptions if isinstance(error, WaitTimeoutError)]
        assert [error.run_id for error in errors] == slow
        assert {error.run and error.run.status for error in errors} == {RunStatus.IN_PROGRESS}

    async def test_timeout_ends_reads_that_hang(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 3)
        emulator.fail(READ, *[Fault.hang()] * 6)
        before = tasks()
        with pytest.raises(ExceptionGroup) as raised:
            await anext(waiter.wait_many(ids, timeout=0.1))

        assert error_types(raised.value) == {WaitTimeoutError: 3}
        assert connections_in_use(client) == 0
        assert tasks() == before

    async def test_at_most_sixteen_single_reads_run_at_once(self) -> None:
        async with Emulator(latency=0.05) as emulator, client_for(emulator.url, max_connections=100) as client:
            ids = emulator.seed("splits", 20, queued=0, running=0)
            emulator.fail(LIST, Fault.status(403))
            most = 0
            waits = waiter_for(client).wait_many(ids)
            pending = asyncio.ensure_future(waits.__anext__())
            while not pending.done():
                most = max(most, connections_in_use(client))
                await asyncio.sleep(0.002)
            first = await pending

            assert sorted([first.id, *await ids_in_order(waits)]) == sorted(ids)
            assert most == 16

    async def test_loop_left_early_leaves_nothing_behind(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = [*emulator.seed("splits", running=0), *emulator.seed("splits", 20, running=60)]
        before = tasks()
        async for _ in waiter.wait_many(ids, poll_interval=0.01):
            break
        count = len(emulator.requests)
        await asyncio.sleep(0.1)

        assert len(emulator.requests) == count
        assert tasks() == before
        assert not waiter._poller._sessions
        assert connections_in_use(client) == 0

    async def test_closed_iterator_yields_nothing(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        waits = waiter.wait_many(emulator.seed("splits", 3, running=0))
        await anext(waits)
        await waits.aclose()

        assert await ids_in_order(waits) == []

    async def test_cancelled_iterator_can_be_continued(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 5, running=0.2)
        waits = waiter.wait_many(ids, poll_interval=0.02)
        pending = asyncio.ensure_future(waits.__anext__())
        await asyncio.sleep(0.1)
        before = tasks() - {pending}
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending

        assert connections_in_use(client) == 0
        assert tasks() <= before
        assert sorted(await ids_in_order(waits)) == sorted(ids)

    async def test_two_tasks_cannot_share_one_iterator(self, emulator: Emulator, waiter: Waiter[Split]) -> None:
        waits = waiter.wait_many(emulator.seed("splits", 3, running=60))
        pending = asyncio.ensure_future(waits.__anext__())
        await asyncio.sleep(0.05)

        with pytest.raises(RuntimeError, match="already being waited for"):
            await anext(waits)
        pending.cancel()

    async def test_on_status_is_called_for_each_change_of_each_run(
        self, emulator: Emulator, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 9, running=0.3)
        changes: list[tuple[str, str]] = []
        runs = waiter.wait_many(ids, poll_interval=0.03, on_status=lambda run: changes.append((run.id, run.status)))
        await ids_in_order(runs)

        assert sorted(changes) == sorted((run_id, status) for run_id in ids for status in ("completed", "in_progress"))

    async def test_closed_client_fails_all_waits(
        self, emulator: Emulator, client: AsyncRetab, waiter: Waiter[Split]
    ) -> None:
        ids = emulator.seed("splits", 20)
        await client.aclose()

        with pytest.raises(ExceptionGroup) as raised:
            await ids_in_order(waiter.wait_many(ids))
        assert error_types(raised.value) == {ClientStateError: 20}


class TestClientMethods:
    async def test_run_is_accepted_in_place_of_its_id(self, emulator: Emulator, client: AsyncRetab) -> None:
        split = await client.splits.get(*emulator.seed("splits"))

        assert (await client.splits.wait(split)).status is RunStatus.COMPLETED
        assert [run.id async for run in client.splits.wait_many([split, split.id])] == [split.id]

    async def test_wait_many_refuses_one_id(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match="not a single one"):
            client.splits.wait_many("splt_1")

    async def test_wait_many_refuses_one_run(self, client: AsyncRetab, emulator: Emulator) -> None:
        split = await client.splits.get(*emulator.seed("splits"))

        with pytest.raises(InvalidRequestError, match="not a single one"):
            client.splits.wait_many(split)  # type: ignore[arg-type]

    async def test_coroutine_function_as_on_status_is_refused(self, client: AsyncRetab) -> None:
        async def tell(_: Split) -> None: ...

        with pytest.raises(ConfigurationError, match="not awaited"):
            await client.splits.wait("splt_1", on_status=tell)

    async def test_other_failures_between_404s_reset_their_count(self, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(READ, Fault.status(404), Fault.reset())
        emulator.fail(READ, Fault.status(404), Fault.status(500), Fault.status(404), Fault.status(404))

        async with client_for(emulator.url, retry=ONCE) as impatient:
            run = await impatient.splits.wait(run_id, poll_interval=0.01)

        assert run.status is RunStatus.COMPLETED
