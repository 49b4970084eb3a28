"""Cancelling what a list finds, while the list changes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from inspect import signature
from itertools import count
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qsl

import pytest
from clients import client_for

from retab_async import (
    APIError,
    AsyncRetab,
    AuthenticationError,
    InternalServerError,
    InvalidRequestError,
    PermissionDeniedError,
    RetryPolicy,
    RunStatus,
    ValidationError,
)
from retab_async.api.kind import KindSpec
from retab_async.bulk import RunScan, list_scan, scan_queries
from retab_async.emulator import Emulator, Fault
from retab_async.listing import Page
from retab_async.models import Primitive, Run
from retab_async.resources import RESOURCES

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
        options: dict[str, Any] = {"outage_timeout": 5, "single_pass": False} | settings
        status = options.pop("status", "queued")
        statuses = KindSpec().active_statuses if status is None else [status]
        return RunScan(self, scan_queries(statuses, from_date=None, to_date=None), **options)


async def test_all_active_runs_are_cancelled(emulator: Emulator, client: AsyncRetab) -> None:
    going, waiting = emulator.seed("splits", 130), emulator.seed("splits", 130, queued=1000)
    over = emulator.seed("splits", 3, running=0)
    partition = emulator.seed("partitions")
    report = await client.splits.cancel_matching()

    assert report.counts == {"cancelled": 260}
    assert emulator.active_runs() == partition
    cancelled = [served.path.split("/")[-2] for served in emulator.requests if served.path.endswith("/cancel")]
    assert sorted(cancelled) == sorted(going + waiting)
    assert not set(cancelled) & set(over)


async def test_filters_are_sent_with_the_list(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 2)
    none = await client.splits.cancel_matching(filename="other", from_date=date(2020, 1, 1), to_date=date(2040, 1, 1))
    queued = await client.splits.cancel_matching(status=RunStatus.QUEUED)
    going = await client.splits.cancel_matching(status="in_progress")

    assert (none.counts, queued.counts, going.counts) == ({}, {}, {"cancelled": 2})
    assert all("order=asc" in served.query for served in emulator.requests if served.method == "GET")


@pytest.mark.parametrize("kind", [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "cancel_matching")])
async def test_cancel_matching_has_all_filters_of_list(kind: str) -> None:
    resource: Any = RESOURCES[kind]
    paging = {"self", "order", "limit", "before", "after"}

    assert set(signature(resource.list).parameters) - paging <= set(signature(resource.cancel_matching).parameters)


FILTERS: dict[str, dict[str, Any]] = {
    "edits": {"template_id": "tpl_1"},
    "extractions": {"filename_contains": "voice", "document_type": ("pdf", "png"), "metadata": {"batch": "7"}},
    "workflows.evals.runs": {"eval_id": "ev_1", "target_block_id": "b_1", "exclude_status": "queued"},
    "workflows.experiments.runs": {"experiment_id": "ex_1", "block_id": "b_1", "trigger_type": "api"},
    "workflows.runs": {"search": "run_1", "metadata": {"a": "b"}, "min_duration_ms": 5, "max_duration_ms": 9},
}


@pytest.mark.parametrize("kind", FILTERS)
async def test_the_filters_of_a_kind_are_sent_as_list_sends_them(
    emulator: Emulator, client: AsyncRetab, kind: str
) -> None:
    def filters_of(query: str) -> set[tuple[str, str]]:
        return {pair for pair in parse_qsl(query) if pair[0] not in {"order", "limit", "status"}}

    resource = attrgetter(kind)(client)
    await resource.cancel_matching(**FILTERS[kind])
    matching = [filters_of(request.query) for request in emulator.requests]
    assert [run async for run in resource.list(**FILTERS[kind])] == []
    listed = filters_of(emulator.requests[-1].query)

    assert len(listed) >= len(FILTERS[kind])
    assert matching
    assert all(filters == listed for filters in matching)


async def test_an_unknown_option_of_cancel_matching_raises_at_once(client: AsyncRetab) -> None:
    with pytest.raises(TypeError, match="colour"):
        client.edits.cancel_matching(colour="red")  # type: ignore[call-arg]


async def test_a_dry_run_reports_planned_runs_and_sends_only_lists(emulator: Emulator, client: AsyncRetab) -> None:
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


async def test_runs_created_during_the_scan_are_cancelled(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 30)
    added = 0
    async with client.splits.cancel_matching(concurrency=2) as outcomes:
        async for _ in outcomes:
            if added < 40:
                emulator.seed("splits")
                added += 1

    assert outcomes.report.counts == {"cancelled": 70}
    assert emulator.active_runs() == []


async def test_a_run_that_changes_status_is_found_once() -> None:
    """It is queued in the first walk and in progress in the second, and there is a new one then."""
    pages = Pages(
        Page(items=()),
        Page(items=(run_of("a"), run_of("b", "completed"))),
        Page(items=(run_of("a", "in_progress"), run_of("c", "in_progress"))),
        Page(items=(run_of("d", "pending"),)),
    )

    assert [run.id async for run in pages.walk(status=None)] == ["a", "c", "d"]
    assert [query.split("status=")[1] for query in pages.queries] == ["pending", "queued", "in_progress"] * 3


async def test_a_repeated_cursor_ends_the_list() -> None:
    pages = Pages(
        Page(items=(run_of("a"),), after="a"),
        Page(items=(run_of("b"),), after="b"),
        Page(items=(run_of("c"),), after="a"),
    )

    assert [run.id async for run in pages.walk()] == ["a", "b", "c"]
    assert [query.rpartition("after=")[2] for query in pages.queries[1:3]] == ["a", "b"]
    assert len(pages.queries) == 4


async def test_a_list_with_ever_new_cursors_and_no_new_run_ends(caplog: pytest.LogCaptureFixture) -> None:
    endless = (Page(items=(run_of("a"), run_of("b", "completed")), after=f"cursor_{n}") for n in count())
    pages = Pages()

    async def fetch(query: str) -> Page[Run]:
        pages.queries.append(query)
        return next(endless)

    scan = RunScan(fetch, scan_queries(["queued"], from_date=None, to_date=None), outage_timeout=5, single_pass=False)

    assert [run.id async for run in scan] == ["a"]
    # One page in each of two passes, and ten that brought nothing.
    assert len(pages.queries) == 2 * 11
    assert "list has no end: 10 pages in a row" in caplog.text


async def test_pages_of_terminal_runs_are_read_to_the_end() -> None:
    finished = [Page(items=(run_of(f"run_{n}", "completed"),), after=f"run_{n}") for n in range(30)]
    pages = Pages(*finished, Page(items=(run_of("last"),)))

    assert [run.id async for run in pages.walk(single_pass=True)] == ["last"]


def refused(kind: type[Any] = ValidationError, status: int = 422) -> Exception:
    error: Exception = kind("no such cursor", status_code=status, method="GET", url="/v1/splits")
    return error


async def test_a_stale_cursor_restarts_the_list() -> None:
    pages = Pages(Page(items=(run_of("a"),), after="a"), refused(), Page(items=(run_of("a"), run_of("b"))))

    assert [run.id async for run in pages.walk()] == ["a", "b"]


async def test_a_cursor_that_is_stale_without_progress_raises() -> None:
    pages = Pages(Page(items=(run_of("a"),), after="a"), refused(), Page(items=(run_of("a"),), after="a"), refused())

    with pytest.raises(ValidationError):
        assert [run.id async for run in pages.walk()]


async def test_a_refused_list_ends_the_job_after_the_found_runs(client: AsyncRetab, emulator: Emulator) -> None:
    ids = emulator.seed("splits", 100)
    emulator.fail(LIST, *[Fault.delay_after_effect(0)] * 3, Fault.status(401))
    job = client.splits.cancel_matching()
    with pytest.raises(AuthenticationError):
        await job

    assert job.report.counts == {"cancelled": len(ids)}


async def test_an_unavailable_list_is_requested_again(
    client: AsyncRetab, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_scan, "_RETRY_SECONDS", 0.05)
    emulator.seed("splits", 10)
    emulator.fail(LIST, Fault.status(503), Fault.reset(), Fault.delay_after_effect(0), Fault.status(503))
    report = await client.splits.cancel_matching()

    assert report.counts == {"cancelled": 10}


async def test_an_unavailable_list_is_given_up_after_the_outage_timeout() -> None:
    pages = Pages(*[refused(InternalServerError, 503)] * 3)

    with pytest.raises(InternalServerError):
        assert [run.id async for run in pages.walk(outage_timeout=0.5)]
    assert len(pages.queries) == 1


async def test_invalid_filters_raise_at_once(client: AsyncRetab) -> None:
    with pytest.raises(InvalidRequestError):
        client.splits.cancel_matching(filename="")
    with pytest.raises(InvalidRequestError):
        client.splits.cancel_matching(dry_run=1)  # type: ignore[arg-type]


async def test_leaving_during_a_list_request_leaves_no_task(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.fail(LIST, Fault.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.splits.cancel_matching()

    assert [task for task in asyncio.all_tasks() if "cancel_many" in task.get_name()] == []


class TestAllKinds:
    """`client.cancel_matching`."""

    LISTED = [kind for kind, resource in RESOURCES.items() if hasattr(resource, "cancel_matching")]  # noqa: RUF012

    async def test_active_runs_of_all_listed_kinds_are_cancelled_in_one_job(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        for kind in RESOURCES:
            emulator.seed(kind, 3)
            emulator.seed(kind, running=0)

        async with client.cancel_matching() as outcomes:
            kinds = [outcome.kind async for outcome in outcomes]

        assert sorted(kinds) == sorted(self.LISTED * 3)
        assert set(kinds[:9]) == {kind for kind in self.LISTED if kind.startswith("workflows.")}
        assert len(emulator.active_runs()) == 3 * (len(RESOURCES) - len(self.LISTED))

    async def test_dates_are_filters_of_every_list(self, emulator: Emulator, client: AsyncRetab) -> None:
        for kind in self.LISTED:
            emulator.seed(kind)

        report = await client.cancel_matching(to_date=date(2020, 1, 1))
        planned = await client.cancel_matching(from_date="2020-01-01", dry_run=True)

        assert (report.counts.total(), planned.counts) == (0, {"planned": len(self.LISTED)})
        lists = [each for each in emulator.requests if each.method == "GET"]
        assert all("to_date=2020-01-01" in each.query or "from_date=2020-01-01" in each.query for each in lists)

    async def test_refused_list_is_raised_after_the_other_kinds(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.seed("splits")
        emulator.seed("parses")
        emulator.fail("GET /v1/parses", Fault.status(403))
        job = client.cancel_matching()

        with pytest.raises(PermissionDeniedError, match="GET /v1/parses"):
            await job

        assert job.report.counts == {"cancelled": 1}

    async def test_several_refused_lists_are_named_by_one_error(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail("GET /v1/workflows/runs", Fault.status(403))
        emulator.fail("GET /v1/parses", Fault.status(404))
        emulator.fail("GET /v1/edits", Fault.status(403))

        with pytest.raises(PermissionDeniedError, match="also refused: the lists of parses, edits") as raised:
            await client.cancel_matching()

        assert "GET /v1/workflows/runs" in str(raised.value)

    @pytest.mark.parametrize("status", [401, 402, 407])
    async def test_refusal_of_the_caller_is_raised_without_asking_for_another_list(
        self, status: int, emulator: Emulator, client: AsyncRetab
    ) -> None:
        emulator.fail("GET /v1/workflows/runs", Fault.status(status))

        with pytest.raises(APIError, match=f"status {status}"):
            await client.cancel_matching()

        assert {each.path for each in emulator.requests} == {"/v1/workflows/runs"}

    async def test_outage_of_a_list_ends_the_job(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail("GET /v1/workflows/runs", *[Fault.status(503)] * 9)

        with pytest.raises(InternalServerError):
            await client.cancel_matching(outage_timeout=0.01)

        assert {each.path for each in emulator.requests} == {"/v1/workflows/runs"}
