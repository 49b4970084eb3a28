"""Stopping a bulk cancel: the ids taken get their outcomes, and no more are taken."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import client_for, workers
from raw_server import until

from retab_async import AsyncRetab, CancelJob, CancelReport, Disposition, JournalError
from retab_async.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(running=1000.0, latency=0.05) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as opened:
        yield opened


async def forever(ids: list[str]) -> AsyncIterator[str]:
    """Give these ids, and then none for as long as anybody waits."""
    for run_id in ids:
        yield run_id
    await asyncio.Event().wait()


async def removing(path: Path, ids: list[str]) -> AsyncIterator[str]:
    """Give these ids, and remove a file before the first."""
    await asyncio.to_thread(path.unlink)
    for run_id in ids:
        yield run_id


async def test_stop_finishes_the_taken_ids_and_takes_no_more(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 100)
    async with client.splits.cancel_many(iter(ids), concurrency=4) as job:
        told = [await anext(job)]
        job.stop()
        job.stop()
        told += [outcome async for outcome in job]

    assert 1 <= len(told) < 20
    assert {outcome.disposition for outcome in told} == {Disposition.CANCELLED}
    assert len(told) == job.report.counts.total() == len(emulator.requests) == 100 - len(emulator.active_runs())


async def test_stop_ends_the_wait_for_ids(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 3)
    async with client.splits.cancel_many(forever(ids)) as job:
        for _ in ids:
            await anext(job)
        job.stop()

        assert [outcome async for outcome in job] == []

    assert (emulator.active_runs(), job.unwritten) == ([], 0)


async def test_stop_while_the_queue_is_full_takes_no_more(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 20)
    async with client.splits.cancel_many(forever(ids), concurrency=1) as job:
        await asyncio.sleep(0.3)
        job.stop()
        outcomes = [outcome async for outcome in job]

    assert len(outcomes) == len(emulator.requests) == 2
    assert job.report.end_reason == "stopped"


async def test_a_worker_cancelled_from_outside_cancels_the_job(emulator: Emulator, client: AsyncRetab) -> None:
    job = client.splits.cancel_many(emulator.seed("splits", 1))
    task = asyncio.ensure_future(report_of(job))
    await until(lambda: bool(workers()))
    for worker in workers():
        worker.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def report_of(job: CancelJob[Any]) -> CancelReport:
    return await job


async def test_stop_ends_a_list_scan(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 250)
    async with client.splits.cancel_matching(concurrency=2) as job:
        await anext(job)
        job.stop()
        rest = [outcome async for outcome in job]

    assert len(rest) < 20
    assert len(emulator.active_runs()) == 249 - len(rest)


async def test_stop_before_the_start_takes_nothing(emulator: Emulator, client: AsyncRetab) -> None:
    def ids() -> Iterator[str]:
        pytest.fail("an id was taken")
        yield ""

    job = client.splits.cancel_many(ids())
    job.stop()

    assert (await job).counts.total() == 0
    assert emulator.requests == []


async def test_unwritten_counts_the_outcomes_missing_in_the_journal(
    emulator: Emulator, client: AsyncRetab, tmp_path: Path
) -> None:
    path = tmp_path / "cancel.jsonl"
    job = client.splits.cancel_many(removing(path, emulator.seed("splits", 3)), journal=path)

    with pytest.raises(JournalError, match="was removed"):
        await job

    assert job.unwritten == 3
