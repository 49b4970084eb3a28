"""A job that is stopped, or killed: what it took comes to its outcomes, if need be in the job that goes on from it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clients import client_for

from retab_async import AsyncRetab, Disposition, JournalError
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


async def test_a_job_that_is_stopped_finishes_what_it_has_and_takes_no_more(
    emulator: Emulator, client: AsyncRetab
) -> None:
    ids = emulator.seed("splits", 100)
    async with client.splits.cancel_many(iter(ids), concurrency=4) as job:
        told = [await anext(job)]
        job.stop()
        job.stop()
        told += [outcome async for outcome in job]

    assert 1 <= len(told) < 20
    assert {outcome.disposition for outcome in told} == {Disposition.CANCELLED}
    assert len(told) == job.report.counts.total() == len(emulator.requests) == 100 - len(emulator.active_runs())


async def test_a_stop_ends_the_waiting_for_ids(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 3)
    async with client.splits.cancel_many(forever(ids)) as job:
        for _ in ids:
            await anext(job)
        job.stop()

        assert [outcome async for outcome in job] == []

    assert (emulator.active_runs(), job.unwritten) == ([], 0)


async def test_a_stop_ends_the_walk_through_a_list(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 250)
    async with client.splits.cancel_matching(concurrency=2) as job:
        await anext(job)
        job.stop()
        rest = [outcome async for outcome in job]

    assert len(rest) < 20
    assert len(emulator.active_runs()) == 249 - len(rest)


async def test_a_job_that_is_stopped_before_it_is_begun_takes_nothing(emulator: Emulator, client: AsyncRetab) -> None:
    def ids() -> Iterator[str]:
        pytest.fail("an id was taken")
        yield ""

    job = client.splits.cancel_many(ids())
    job.stop()

    assert (await job).counts.total() == 0
    assert emulator.requests == []


async def test_what_did_not_get_into_the_journal_is_counted(
    emulator: Emulator, client: AsyncRetab, tmp_path: Path
) -> None:
    path = tmp_path / "cancel.jsonl"
    job = client.splits.cancel_many(removing(path, emulator.seed("splits", 3)), journal=path)

    with pytest.raises(JournalError, match="was removed"):
        await job

    assert job.unwritten == 3
