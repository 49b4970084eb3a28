from datetime import UTC, date, datetime
from typing import Any

import pytest
from clients import client_for
from raw_server import raw_server, reply, reset

from retab_async import (
    InvalidRequestError,
    InvalidRunIdError,
    NotFoundError,
    Page,
    Partition,
    ResponseError,
    RunStatus,
    Split,
)
from retab_async.converter import unstructure
from retab_async.emulator import Emulator, Fault

ROW = {"id": "splt_1", "status": "completed", "error": None, "model": "retab-small"}


def page(*rows: Any, before: Any = None, after: Any = None) -> dict[str, Any]:
    return {"data": list(rows), "list_metadata": {"before": before, "after": after}}


async def test_list_iterates_over_all_pages() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        ids = emulator.seed("splits", 25)
        found = [split.id async for split in client.splits.list(limit=10)]

        assert found == ids[::-1]
        assert len(emulator.requests) == 3
        assert emulator.requests[0].query == "limit=10&order=desc"
        assert emulator.requests[1].query == f"limit=10&order=desc&after={found[9]}"


async def test_list_continues_after_a_page() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        ids = emulator.seed("partitions", 5)
        first = await anext(client.partitions.list(limit=2, order="asc").pages())
        rest = [each.id async for each in client.partitions.list(limit=2, order="asc", after=first.after)]

        assert isinstance(first, Page)
        assert [type(run) for run in first.runs] == [Partition, Partition]
        assert [run.id for run in first.runs] + rest == ids


async def test_list_goes_backward_page_by_page() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        ids = emulator.seed("splits", 5)
        pages = [each async for each in client.splits.list(limit=2, order="asc", before=ids[4]).pages()]

        assert [[run.id for run in each.runs] for each in pages] == [ids[2:4], ids[0:2]]


async def test_list_sends_nothing_before_iteration_and_requests_again_on_each_iteration() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        emulator.seed("splits")
        runs = client.splits.list()
        asked = len(emulator.requests)
        first, second = [run async for run in runs], [run async for run in runs]

        assert asked == 0
        assert first == second
        assert len(emulator.requests) == 2


async def test_list_filters_are_sent_as_documented() -> None:
    async with raw_server(reply(page())) as server, client_for(server.url) as client:
        moment = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
        found = client.splits.list(
            status=RunStatus.IN_PROGRESS, filename="a b&c", from_date=date(2026, 11, 1), to_date=moment, limit=1
        )

        assert repr(found).startswith("<RunPager /v1/splits limit=1 order=desc status=in_progress filename=a b&c ")
        assert [run async for run in found] == []
        assert server.requests[0].target == (
            "/v1/splits?limit=1&order=desc&status=in_progress&filename=a+b%26c"
            "&from_date=2026-11-01&to_date=2026-11-02T09%3A30%3A00%2B00%3A00"
        )


async def test_emulator_understands_every_filter() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        (run_id,) = emulator.seed("splits", running=60, queued=0)
        emulator.seed("splits", running=0, queued=0)
        now = datetime.now(UTC)
        found = client.splits.list(status="in_progress", filename="SAMPLE", from_date=now.date(), to_date=now)

        assert [run.id async for run in found] == [run_id]


@pytest.mark.parametrize(
    "filters",
    [
        {"before": "splt_1", "after": "splt_2"},
        {"limit": 0},
        {"limit": 101},
        {"limit": True},
        {"limit": "10"},
        {"order": "newest"},
        {"status": ""},
        {"status": 5},
        {"filename": ""},
        {"after": ""},
        {"from_date": "2026-13-01"},
        {"to_date": 5},
        {"to_date": datetime(2026, 11, 1)},  # noqa: DTZ001 - without a timezone, on purpose
    ],
    ids=str,
)
async def test_invalid_filters_are_rejected_at_once(filters: dict[str, Any]) -> None:
    async with raw_server(reply(page())) as server, client_for(server.url) as client:
        with pytest.raises(InvalidRequestError, match=next(reversed(filters))):
            client.splits.list(**filters)

        assert server.requests == []


async def test_list_ends_if_the_server_repeats_a_cursor(caplog: pytest.LogCaptureFixture) -> None:
    steps = [reply(page(ROW, after="a")), reply(page(ROW, after="b")), reply(page(ROW, after="a"))]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        found = [run async for run in client.splits.list()]

        assert len(found) == len(server.requests) == 3
        assert "list stopped, the server repeated the cursor a" in caplog.text


@pytest.mark.parametrize(
    "metadata", [None, {}, {"after": ""}, {"after": 5}, [], {"after": None, "total_count": 1}], ids=str
)
async def test_list_ends_without_a_cursor(metadata: Any) -> None:
    async with (
        raw_server(reply({"data": [ROW], "list_metadata": metadata})) as server,
        client_for(server.url) as client,
    ):
        found = [run async for run in client.splits.list()]

        assert len(found) == len(server.requests) == 1


async def test_row_that_does_not_fit_gets_defaults_and_the_page_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {**ROW, "subdocuments": 5},
        {"id": "splt_2"},
        {"id": "splt_3", "status": None, "model": 7},
        {"status": "completed"},
        "garbage",
        ROW,
    ]
    async with raw_server(reply(page(*rows))) as server, client_for(server.url) as client:
        found = [run async for run in client.splits.list()]

        assert found == [
            Split(id="splt_1", status=RunStatus.COMPLETED, model="retab-small"),
            Split(id="splt_2", status=RunStatus.PENDING),
            Split(id="splt_3", status=RunStatus.PENDING),
            Split(id="splt_1", status=RunStatus.COMPLETED, model="retab-small"),
        ]
        (warning,) = caplog.messages
        assert warning.startswith("/v1/splits: page of 6 rows: splt_1: fields left at their defaults: subdocuments: ")
        assert warning.endswith("; and 4 more rows")


@pytest.mark.parametrize(
    "row",
    [{"status": "completed"}, {"id": 5, "status": "completed"}, {"id": ["splt_2"]}, "garbage", None, [[[]]]],
    ids=repr,
)
async def test_unreadable_row_costs_that_row_and_a_warning(row: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with raw_server(reply(page(ROW, row, ROW))) as server, client_for(server.url) as client:
        found = [run.id async for run in client.splits.list()]

    assert found == ["splt_1", "splt_1"]
    (warning,) = caplog.messages
    assert warning.startswith("/v1/splits: page of 3 rows: row 1 is unreadable, left out: ")


async def test_row_of_a_workflow_run_without_a_readable_lifecycle_costs_that_row() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        (run_id,) = emulator.seed("workflows/runs")
        good = unstructure(await client.workflows.runs.get(run_id))
    rows = [good, {**good, "id": "bad", "lifecycle": {"status": 5}}, {**good, "id": "good"}]
    async with raw_server(reply(page(*rows))) as server, client_for(server.url) as client:
        found = [run.id async for run in client.workflows.runs.list()]

    assert found[0] == run_id
    assert found[-1] == "good"


async def test_page_of_more_rows_than_a_page_may_have_raises_a_response_error() -> None:
    async with raw_server(reply(page(*[ROW] * 101))) as server, client_for(server.url) as client:
        with pytest.raises(ResponseError, match="the page has 101 rows, more than 100") as caught:
            await anext(client.splits.list().pages())

        assert caught.value.path == "data"


@pytest.mark.parametrize("body", [[], {}, {"data": None}, {"data": {"id": "splt_1"}}], ids=str)
async def test_response_without_a_list_raises_a_response_error(body: Any) -> None:
    async with raw_server(reply(body)) as server, client_for(server.url) as client:
        with pytest.raises(ResponseError, match="no list") as caught:
            await anext(client.splits.list().pages())

        assert caught.value.path == "data"
        assert not caught.value.in_doubt


async def test_deleted_run_is_not_found() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        (run_id,) = emulator.seed("splits")
        split = await client.splits.cancel(run_id)
        await client.splits.delete(split)

        with pytest.raises(NotFoundError):
            await client.splits.get(run_id)
        with pytest.raises(NotFoundError):
            await client.splits.delete(run_id)


async def test_delete_whose_response_was_lost_succeeds() -> None:
    async with Emulator() as emulator, client_for(emulator.url) as client:
        (run_id,) = emulator.seed("partitions")
        emulator.fail("DELETE /v1/partitions/{id}", Fault.reset_after_effect())
        await client.partitions.delete(run_id)

        assert [(each.method, each.status) for each in emulator.requests] == [("DELETE", None), ("DELETE", 404)]


async def test_throttled_delete_raises_not_found_error() -> None:
    async with raw_server(reply(b"{}", 429), reply(b"{}", 404)) as server, client_for(server.url) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.splits.delete("splt_1")

        assert caught.value.attempts == 2
        assert len(server.requests) == 2


async def test_delete_of_an_invalid_id_sends_nothing() -> None:
    async with raw_server(reset) as server, client_for(server.url) as client:
        with pytest.raises(InvalidRunIdError):
            await client.splits.delete("../partitions/prtn_1")

        assert server.requests == []
