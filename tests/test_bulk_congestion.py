"""Congestion during bulk cancels: a busy server shrinks the window and costs no id."""

import asyncio
import json
import time
from collections import Counter
from typing import NamedTuple

import pytest
from clients import client_for
from payloads import BARE_SPLIT
from raw_server import Wire, raw_server, reply
from virtual_time import Clock, in_virtual_time

from retab_async import AsyncRetab, CancelReport, RetryPolicy
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.transport.exchange import Exchange

pytestmark = pytest.mark.slow

CONNECTIONS = 4
SERVICE_SECONDS = 0.02
QUEUE_TIMEOUT = 0.3


class OverloadedJob(NamedTuple):
    """Result of a job in virtual time."""

    report: CancelReport
    seconds: float
    refused: int


def simulate(patch: pytest.MonkeyPatch, ids: int, *, status: int, workers: int) -> OverloadedJob:
    """Run a job against a gateway with a few server connections and a queue with a timeout."""

    async def scenario(clock: Clock) -> OverloadedJob:
        connections = asyncio.Semaphore(CONNECTIONS)
        refused = 0

        async def run(_: Exchange, request: Request, number: int, timeout: float, delivery: DeliveryState) -> Response:
            nonlocal refused
            try:
                async with asyncio.timeout(QUEUE_TIMEOUT):
                    await connections.acquire()
            except TimeoutError:
                refused += 1
                return Response(request, status, {}, b"", number, str)
            try:
                await asyncio.sleep(SERVICE_SECONDS)
            finally:
                connections.release()
            run = BARE_SPLIT | {"id": request.path.split("/")[3]}
            return Response(request, 200, {}, json.dumps(run).encode(), number, str)

        patch.setattr(Exchange, "run", run)
        patch.setattr(time, "monotonic", clock)
        started_at = clock()
        async with AsyncRetab("sk_test") as client:
            report = await client.splits.cancel_many((f"splt_{n}" for n in range(ids)), concurrency=workers)
        return OverloadedJob(report, clock() - started_at, refused)

    job: OverloadedJob = in_virtual_time(scenario)
    return job


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("workers", [64, 256])
def test_an_overloaded_server_costs_no_id_and_little_time(
    status: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulate(monkeypatch, 3000, status=status, workers=workers)

    assert job.report.counts == {"cancelled": 3000}
    assert job.seconds <= 1.2 * 3000 * SERVICE_SECONDS / CONNECTIONS
    assert job.refused <= 300


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_congested_id_is_given_up_by_its_deadline_not_by_the_number_of_failures(status: int) -> None:
    sends: Counter[str] = Counter()

    async def busy_for_one(wire: Wire) -> None:
        run_id = wire.request.target.split("/")[-2]
        sends[run_id] += 1
        await (reply(b"", status) if run_id == "splt_3" and sends[run_id] <= 9 else reply(BARE_SPLIT))(wire)

    policy = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.01)
    async with raw_server(busy_for_one) as server, client_for(server.url, retry=policy) as client:
        report = await client.splits.cancel_many([f"splt_{n}" for n in range(500)], concurrency=8)

    assert report.counts == {"cancelled": 500}
    assert sends["splt_3"] == 10


async def test_a_congested_id_is_unconfirmed_after_its_deadline() -> None:
    async def busy_for_one(wire: Wire) -> None:
        await (reply(b"", 503) if "/splt_3/" in wire.request.target else reply(BARE_SPLIT))(wire)

    policy = RetryPolicy(wait_initial=0.05, wait_max=0.05, deadline=0.5)
    async with asyncio.timeout(20), raw_server(busy_for_one) as server, client_for(server.url, retry=policy) as client:
        report = await client.splits.cancel_many([f"splt_{n}" for n in range(20)], concurrency=4)

    assert report.counts == {"cancelled": 19, "unconfirmed": 1}
    assert report.failures[0].attempts > 4
