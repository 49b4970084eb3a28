"""Connections for cancels while other calls hold all of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from clients import ONCE, client_for, connections_in_use
from raw_server import until

from retab_async import APITimeoutError, AsyncRetab, Disposition, RetryPolicy, Subdocument
from retab_async.emulator import Emulator, Fault

CREATE = "POST /v1/splits"
READ = "GET /v1/splits/{id}"
PDF = b"%PDF-1.7\n"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=60) as running:
        yield running


async def foreground_create(client: AsyncRetab) -> None:
    await client.splits.create(document=PDF, subdocuments=[Subdocument(name="invoice")], background=False)


@pytest.mark.parametrize("max_connections", [1, 2, 5])
async def test_cancel_is_sent_while_foreground_creates_hold_all_connections(
    max_connections: int, emulator: Emulator
) -> None:
    (run_id,) = emulator.seed("splits")
    emulator.fail(CREATE, *[Fault.hang()] * max_connections)
    async with client_for(emulator.url, max_connections=max_connections) as client:
        creates = [asyncio.create_task(foreground_create(client)) for _ in range(max_connections)]
        await until(lambda: connections_in_use(client) == max_connections)
        waiting = asyncio.create_task(client.splits.get(run_id))
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            run = await client.splits.cancel(run_id)

        assert run.status == "cancelled"
        assert not waiting.done()
        for create in creates:
            create.cancel()
        assert (await waiting).status == "cancelled"
        assert client._pool.slots._free == max_connections


async def test_cancel_by_its_route_is_sent_while_a_foreground_create_holds_the_connection(emulator: Emulator) -> None:
    (run_id,) = emulator.seed("splits")
    emulator.fail(CREATE, Fault.hang())
    async with client_for(emulator.url, max_connections=1) as client:
        create = asyncio.create_task(foreground_create(client))
        await until(lambda: connections_in_use(client) == 1)
        async with asyncio.timeout(2):
            response = await client.request("POST", f"/v1/splits/{run_id}/cancel")

        assert response.status == 200
        create.cancel()
        await asyncio.wait({create})


async def test_bulk_cancel_runs_while_foreground_creates_hold_all_connections(emulator: Emulator) -> None:
    ids = emulator.seed("splits", 40)
    emulator.fail(CREATE, *[Fault.hang()] * 3)
    async with client_for(emulator.url, max_connections=3) as client:
        creates = [asyncio.create_task(foreground_create(client)) for _ in range(3)]
        await until(lambda: connections_in_use(client) == 3)
        async with asyncio.timeout(5):
            report = await client.splits.cancel_many(ids)

        assert report.counts[Disposition.CANCELLED] == 40
        for create in creates:
            create.cancel()
        await asyncio.wait(creates)


async def test_cancel_is_sent_from_the_loop_over_a_stream(emulator: Emulator) -> None:
    (run_id,) = emulator.seed("splits")
    async with client_for(emulator.url, max_connections=1) as client:
        stream = client.extractions.stream(document=PDF, json_schema={"type": "object"}, model="retab-small")
        async with stream as states:
            await anext(states)
            async with asyncio.timeout(2):
                run = await client.splits.cancel(run_id)

        assert run.status == "cancelled"


async def test_other_calls_do_not_use_the_reserve(emulator: Emulator) -> None:
    (run_id,) = emulator.seed("splits")
    emulator.fail(CREATE, Fault.hang())
    async with client_for(emulator.url, max_connections=1, retry=ONCE) as client:
        create = asyncio.create_task(foreground_create(client))
        await until(lambda: connections_in_use(client) == 1)
        with pytest.raises(APITimeoutError, match="no connection came free"):
            await client.with_options(retry=RetryPolicy(deadline=0.1)).splits.get(run_id)

        create.cancel()
