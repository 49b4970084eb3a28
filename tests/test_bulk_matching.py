"""Cancelling what a list finds, while the list changes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from clients import client_for

from retab_async import (
    AsyncRetab,
    AuthenticationError,
    InternalServerError,
    InvalidRequestError,
    RetryPolicy,
    RunStatus,
    ValidationError,
)
from retab_async.api.kind import KindSpec
from retab_async.bulk import RunScan, list_scan, scan_queries
from retab_async.emulator import Emulator, Fault
from retab_async.listing import Page
from retab_async.models import Primitive, Run

LIST = "GET /v1/splits"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=1000.0) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url, retry=RetryPolicy(attempts=1)) as opened:
        yield opened


def run_of(run_id: str, status: str = "queued") -> Run:
    return Primitive(id=run_id, status=RunStatus(status))


class Pages:
    """Answers each list request with the next of some pages, or raises it."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.queries: list[str] = []

    async def __call__(self, query: str) -> Page[Run]:
        self.queries.append(query)
        page = self.pages.pop(0) if self.pages else Page(items=())
        if isinstance(page, Exception):
            raise page
        return page

    def walk(self, **settings: Any) -> RunScan[Run]:
        told: dict[str, Any] = {"outage_timeout": 5, "single_pass": False} | settings
        status = told.pop("status", "queued")
        statuses = KindSpec().active_statuses if status is None else [status]
        return RunScan(self, scan_queries(statuses, from_date=None, to_date=None), **told)


async def test_all_that_is_not_over_is_cancelled(emulator: Emulator, client: AsyncRetab) -> None:
    going, waiting = emulator.seed("splits", 130), emulator.seed("splits", 130, queued=1000)
    over = emulator.seed("splits", 3, running=0)
    partition = emulator.seed("partitions")
    report = await client.splits.cancel_matching()

    assert report.counts == {"cancelled": 260}
    assert emulator.active_runs() == partition
    cancelled = [served.path.split("/")[-2] for served in emulator.requests if served.path.endswith("/cancel")]
    assert sorted(cancelled) == sorted(going + waiting)
    assert not set(cancelled) & set(over)


async def test_filters_are_those_of_the_list(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 2)
    none = await client.splits.cancel_matching(
        filename="nobody's", from_date=date(2020, 1, 1), to_date=date(2040, 1, 1)
    )
    queued = await client.splits.cancel_matching(status=RunStatus.QUEUED)
    going = await client.splits.cancel_matching(status="in_progress")

    assert (none.counts, queued.counts, going.counts) == ({}, {}, {"cancelled": 2})
    assert all("order=asc" in served.query for served in emulator.requests if served.method == "GET")


async def test_a_dry_run_tells_and_sends_nothing(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 150)
    async with client.splits.cancel_matching(dry_run=True, order="input") as outcomes:
        planned = [outcome async for outcome in outcomes]
    report = await client.splits.cancel_matching(dry_run=True)

    assert [outcome.run_id for outcome in planned] == ids
    assert {(str(outcome.disposition), outcome.attempts) for outcome in planned} == {("planned", 0)}
    assert all(outcome.run and outcome.run.file for outcome in planned)
    assert report.counts == {"planned": 150}
    assert {served.method for served in emulator.requests} == {"GET"}
    assert len(emulator.active_runs()) == 150


async def test_runs_that_come_meanwhile_are_met_too(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 30)
    added = 0
    async with client.splits.cancel_matching(concurrency=2) as outcomes:
        async for _ in outcomes:
            if added < 40:
                emulator.seed("splits")
                added += 1

    assert outcomes.report.counts == {"cancelled": 70}
    assert emulator.active_runs() == []


async def test_a_run_that_moves_on_is_met_once() -> None:
    """It is queued in the first walk and in progress in the second, and there is a new one then."""
    pages = Pages(
        Page(items=()),
        Page(items=(run_of("a"), run_of("b", "completed"))),
        Page(items=(run_of("a", "in_progress"), run_of("c", "in_progress"))),
        Page(items=(run_of("d", "pending"),)),
    )

    assert [run.id async for run in pages.walk(status=None)] == ["a", "c", "d"]
    assert [query.split("status=")[1] for query in pages.queries] == ["pending", "queued", "in_progress"] * 3


async def test_pages_are_walked_by_their_cursors_and_never_round_and_round() -> None:
    pages = Pages(
        Page(items=(run_of("a"),), after="a"),
        Page(items=(run_of("b"),), after="b"),
        Page(items=(run_of("c"),), after="a"),
    )

    assert [run.id async for run in pages.walk()] == ["a", "b", "c"]
    assert [query.rpartition("after=")[2] for query in pages.queries[1:3]] == ["a", "b"]
    assert len(pages.queries) == 4


def refused(kind: type[Any] = ValidationError, status: int = 422) -> Exception:
    error: Exception = kind("no such cursor", status_code=status, method="GET", url="/v1/splits")
    return error


async def test_a_list_whose_cursor_is_gone_is_walked_from_the_start() -> None:
    pages = Pages(Page(items=(run_of("a"),), after="a"), refused(), Page(items=(run_of("a"), run_of("b"))))

    assert [run.id async for run in pages.walk()] == ["a", "b"]


async def test_a_cursor_that_is_gone_again_and_again_is_an_error() -> None:
    pages = Pages(Page(items=(run_of("a"),), after="a"), refused(), Page(items=(run_of("a"),), after="a"), refused())

    with pytest.raises(ValidationError):
        assert [run.id async for run in pages.walk()]


async def test_a_list_that_is_refused_ends_the_job_after_what_was_found(client: AsyncRetab, emulator: Emulator) -> None:
    ids = emulator.seed("splits", 100)
    emulator.fail(LIST, *[Fault.delay_after_effect(0)] * 3, Fault.status(401))
    job = client.splits.cancel_matching()
    with pytest.raises(AuthenticationError):
        await job

    assert job.report.counts == {"cancelled": len(ids)}


async def test_a_list_that_cannot_be_had_for_now_is_asked_for_again(
    client: AsyncRetab, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_scan, "_PAUSE", 0.05)
    emulator.seed("splits", 10)
    emulator.fail(LIST, Fault.status(503), Fault.reset(), Fault.delay_after_effect(0), Fault.status(503))
    report = await client.splits.cancel_matching()

    assert report.counts == {"cancelled": 10}


async def test_but_only_for_as_long_as_patience_lasts() -> None:
    pages = Pages(*[refused(InternalServerError, 503)] * 3)

    with pytest.raises(InternalServerError):
        assert [run.id async for run in pages.walk(outage_timeout=0.5)]
    assert len(pages.queries) == 1


async def test_what_a_list_request_cannot_say_is_refused_at_once(client: AsyncRetab) -> None:
    with pytest.raises(InvalidRequestError):
        client.splits.cancel_matching(filename="")
    with pytest.raises(InvalidRequestError):
        client.splits.cancel_matching(dry_run=1)  # type: ignore[arg-type]


async def test_leaving_it_while_a_page_is_on_its_way_leaves_nothing(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.fail(LIST, Fault.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.splits.cancel_matching()

    assert [task for task in asyncio.all_tasks() if "cancel_many" in task.get_name()] == []
