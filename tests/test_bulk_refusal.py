"""Refusals during bulk cancels: of the caller, which end the job, and of one id, which are its outcome."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from clients import client_for
from payloads import BARE_SPLIT
from raw_server import raw_server, reply

from retab_async import APIError, Disposition, EndReason, RetryPolicy
from retab_async.emulator import Emulator

ok = reply(BARE_SPLIT)


def ids_of(number: int) -> list[str]:
    return [f"splt_{n}" for n in range(number)]


class EndlessIds:
    """Endless ids; `taken` counts them."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for number in count():
            self.taken += 1
            yield f"splt_{number}"


@pytest.mark.parametrize("status", [401, 402, 407])
@pytest.mark.parametrize("concurrency", [1, 32])
async def test_a_refusal_of_the_caller_ends_the_job(status: int, concurrency: int) -> None:
    ids = EndlessIds()
    async with raw_server(reply({"detail": "no"}, status)) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids, concurrency=concurrency)

    assert report.end_reason is EndReason.REFUSED
    assert isinstance(report.error, APIError)
    assert report.error.status_code == status
    assert ids.taken == report.counts.total() == report.counts[Disposition.UNCONFIRMED] <= concurrency
    assert len(server.requests) <= 8


async def test_a_stream_that_is_refused_ends_with_its_outcomes() -> None:
    async with (
        raw_server(ok, reply(b"", 401)) as server,
        client_for(server.url) as client,
        client.splits.cancel_many(iter(ids_of(50)), concurrency=1) as job,
    ):
        outcomes = [outcome.disposition async for outcome in job]

    assert outcomes == ["cancelled", "unconfirmed"]
    assert job.report.end_reason == "refused"


async def test_a_refusal_that_the_retry_policy_repeats_is_no_refusal() -> None:
    policy = RetryPolicy(wait_initial=0.001, retry_statuses={401})
    async with raw_server(reply(b"", 401), ok) as server, client_for(server.url, retry=policy) as client:
        report = await client.splits.cancel_many(ids_of(3), concurrency=1)

    assert (report.end_reason, report.counts) == ("completed", {"cancelled": 3})


async def test_ten_403_before_any_success_end_the_job() -> None:
    ids = EndlessIds()
    async with raw_server(reply(b"", 403)) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids, concurrency=1)

    assert (report.end_reason, len(server.requests), ids.taken) == ("refused", 10, 10)
    assert report.counts == {"unconfirmed": 10}


async def test_403_after_a_success_or_with_other_responses_between_is_about_the_id() -> None:
    forbidden = reply(b"", 403)
    steps = [*[forbidden] * 9, reply(b"", 404), forbidden, ok, *[forbidden] * 20]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(32), concurrency=1)

    assert report.end_reason == "completed"
    assert report.counts == {"unconfirmed": 10, "not_found": 1, "cancelled": 1, "rejected": 20}


async def test_a_refusal_of_the_caller_is_sent_again_with_the_same_journal(tmp_path: Path) -> None:
    journal = tmp_path / "cancel.jsonl"
    async with Emulator(running=1000.0) as emulator:
        ids = emulator.seed("splits", 40)
        async with raw_server(reply(b"", 401)) as server, client_for(server.url) as expired:
            refused = await expired.splits.cancel_many(ids, journal=journal)
        async with client_for(emulator.url) as client:
            report = await client.splits.cancel_many(ids, journal=journal)

        assert refused.end_reason == "refused"
        assert report.counts[Disposition.CANCELLED] == 40
        assert emulator.active_runs() == []


@pytest.mark.parametrize(
    ("status", "disposition"),
    [(400, "rejected"), (409, "rejected"), (410, "rejected"), (422, "rejected"), (404, "not_found")]
    + [(status, "unconfirmed") for status in (405, 413, 415, 431, 451)],
)
async def test_only_refusals_of_the_id_are_final_in_the_journal(status: int, disposition: str, tmp_path: Path) -> None:
    journal = tmp_path / "cancel.jsonl"
    async with raw_server(reply(b"", status), ok) as server, client_for(server.url) as client:
        first = await client.splits.cancel_many(ids_of(2), concurrency=1, journal=journal)
        sent = len(server.requests)
        await client.splits.cancel_many(ids_of(2), concurrency=1, journal=journal)

    assert first.counts == {disposition: 1, "cancelled": 1}
    assert first.end_reason == "completed"
    assert len(server.requests) - sent == (disposition == "unconfirmed")


async def test_a_refusal_in_a_probe_ends_the_job() -> None:
    steps = [reply(b"", 503)] * 3 + [reply(b"", 401)]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(iter(ids_of(20)), concurrency=1)

    assert (report.end_reason, len(server.requests)) == ("refused", 4)


async def test_a_refusal_ends_the_wait_for_an_asynchronous_source() -> None:
    async def ids() -> AsyncIterator[str]:
        yield "splt_1"
        await asyncio.Event().wait()

    async with asyncio.timeout(5), raw_server(reply(b"", 401)) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids())

    assert (report.end_reason, report.counts) == ("refused", {"unconfirmed": 1})
