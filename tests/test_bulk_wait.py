"""Following the runs of a bulk cancel: cancels come first, waits share their polls and are bounded."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from clients import client_for, workers
from payloads import BARE_SPLIT
from raw_server import Wire, raw_server, reply, until

from retab_async import CancelJob, CancelReport, RetabError, WaitTimeoutError
from retab_async.bulk import cancel_job as job_module


class SlowRuns:
    """Server whose runs stay active after their cancel until `finish` is set."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()
        self.cancels = 0

    async def __call__(self, wire: Wire) -> None:
        if wire.request.method == "POST":
            self.cancels += 1
            await reply({**BARE_SPLIT, "id": wire.request.target.split("/")[-2], "status": "in_progress"})(wire)
            return
        run_id = wire.request.target.split("/")[-1].split("?")[0]
        if run_id == "splits":
            await reply(b"", 404)(wire)
            return
        status = "cancelled" if self.finish.is_set() else "in_progress"
        await reply({**BARE_SPLIT, "id": run_id, "status": status})(wire)


def ids_of(number: int) -> list[str]:
    return [f"splt_{n}" for n in range(number)]


@pytest.mark.parametrize("streams", [False, True])
async def test_all_cancels_are_sent_before_any_run_is_terminal(*, streams: bool) -> None:
    runs = SlowRuns()
    async with asyncio.timeout(30), raw_server(runs) as server, client_for(server.url) as client:
        job = client.splits.cancel_many(iter(ids_of(60)), concurrency=4, wait=True)
        if streams:
            async with job:
                await until(lambda: runs.cancels == 60)
                runs.finish.set()
                outcomes = [outcome async for outcome in job]
            assert len(outcomes) == 60
        else:
            task = asyncio.ensure_future(report_of(job))
            await until(lambda: runs.cancels == 60)
            assert not task.done()
            runs.finish.set()
            await task

    assert job.report.counts == {"cancelled": 60}
    assert job.report.end_reason == "completed"


async def report_of(job: CancelJob[Any]) -> CancelReport:
    return await job


@pytest.mark.parametrize("streams", [False, True])
async def test_the_number_of_followed_runs_is_bounded(*, streams: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_FOLLOWED", 10)
    taken = 0

    def ids() -> Iterator[str]:
        nonlocal taken
        for number in count():
            taken += 1
            yield f"splt_{number}"

    runs = SlowRuns()
    async with asyncio.timeout(30), raw_server(runs) as server, client_for(server.url) as client:
        job = client.splits.cancel_many(ids(), concurrency=3, wait=True)
        bound = 16 if streams else 13
        if streams:
            async with job:
                await until(lambda: runs.cancels == bound)
                await asyncio.sleep(0.3)
                assert taken == runs.cancels == bound
                runs.finish.set()
                await anext(job)
                await until(lambda: taken > bound)
        else:
            task = asyncio.ensure_future(report_of(job))
            await until(lambda: runs.cancels == bound)
            await asyncio.sleep(0.3)
            assert taken == runs.cancels == bound
            runs.finish.set()
            await until(lambda: taken > bound)
            job.stop()
            await task
            assert job.report.counts == {"cancelled": taken}

    assert workers() == []


async def test_a_run_still_active_after_wait_timeout_is_accepted() -> None:
    runs = SlowRuns()
    async with (
        raw_server(runs) as server,
        client_for(server.url) as client,
        client.splits.cancel_many(ids_of(3), wait=True, wait_timeout=0.2) as job,
    ):
        outcomes = [outcome async for outcome in job]

    assert {(str(outcome.disposition), type(outcome.error)) for outcome in outcomes} == {("accepted", WaitTimeoutError)}
    assert not any(outcome.disposition.is_failure for outcome in outcomes)


async def test_an_invalid_wait_timeout_raises_at_once() -> None:
    async with client_for("http://127.0.0.1:1") as client:
        with pytest.raises(RetabError, match="wait_timeout"):
            client.splits.cancel_many([], wait_timeout=0)


async def test_leaving_a_job_ends_its_waits() -> None:
    runs = SlowRuns()
    async with raw_server(runs) as server, client_for(server.url) as client:
        async with client.splits.cancel_many(ids_of(20), wait=True):
            await until(lambda: runs.cancels == 20)

        assert workers() == []
