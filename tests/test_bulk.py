"""Bulk cancels: outcomes, reports, streams, sources, journals, and the end of a job."""

import asyncio
import errno
import gc
import json
import logging
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import pytest
from clients import QUICK, client_for, connections_in_use, workers
from payloads import BARE_SPLIT, FULL_SPLIT, KEY
from raw_server import raw_server, reply, stall, until

from retab_async import (
    APIError,
    AsyncRetab,
    CancelJob,
    CancelOutcome,
    CancelReport,
    ClientStateError,
    ConfigurationError,
    Disposition,
    FileRateLimit,
    InvalidRequestError,
    InvalidRunIdError,
    JournalError,
    NotFoundError,
    Primitive,
    RateLimit,
    RetryPolicy,
    RunStatus,
    SettledError,
    Split,
    WaitTimeoutError,
)
from retab_async import emulator as emulator_limits
from retab_async.emulator import Emulator, Fault, ManualClock
from retab_async.polling import Waiter

CANCEL = "POST /v1/splits/{id}/cancel"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(running=1000.0) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as opened:
        yield opened


async def outcomes_of(job: CancelJob[Any]) -> list[CancelOutcome[Any]]:
    async with job as outcomes:
        return [outcome async for outcome in outcomes]


def cancels(emulator: Emulator) -> Counter[str]:
    """How often a cancel of each id reached the server."""
    return Counter(served.path.split("/")[-2] for served in emulator.requests if served.path.endswith("/cancel"))


class Pulled:
    """Ids without an end, and how many of them were taken."""

    def __init__(self, run_id: str = "splt_1") -> None:
        self.count = 0
        self.run_id = run_id

    def __iter__(self) -> Iterator[str]:
        while True:
            self.count += 1
            yield self.run_id


async def later(ids: list[str], error: Exception | None = None) -> AsyncIterator[str]:
    for run_id in ids:
        await asyncio.sleep(0)
        yield run_id
    if error is not None:
        raise error


def test_each_response_gives_its_disposition() -> None:
    async def run() -> list[CancelOutcome[Split]]:
        clock = ManualClock()
        async with Emulator(clock=clock, queued=0) as emulator, client_for(emulator.url) as client:
            (ended,) = emulator.seed("splits", running=1)
            clock.advance(2)
            (alive, refused, broken, odd) = emulator.seed("splits", 4, running=1000)
            emulator.fail(CANCEL, Fault.status(403), Fault.status(418), *[Fault.status(501)])
            ids: list[Any] = [refused, broken, odd, ended, alive, "gone", "a/b", 5]
            return await outcomes_of(client.splits.cancel_many(ids, concurrency=1))

    outcomes = asyncio.run(run())

    assert [(str(each.disposition), type(each.error).__name__, each.attempts) for each in outcomes] == [
        ("unconfirmed", "PermissionDeniedError", 1),
        ("rejected", "APIError", 1),
        ("unconfirmed", "InternalServerError", 1),
        ("finished", "NoneType", 1),
        ("cancelled", "NoneType", 1),
        ("not_found", "NotFoundError", 1),
        ("invalid", "InvalidRunIdError", 0),
        ("invalid", "InvalidRunIdError", 0),
    ]
    assert [each.run.status for each in outcomes if each.run] == ["completed", "cancelled"]
    assert [each.kind for each in outcomes] == ["splits"] * 7 + [""]
    assert outcomes[-1].run_id == "5"


async def test_a_report_counts_all_outcomes_and_keeps_the_failures(emulator: Emulator, client: AsyncRetab) -> None:
    ids = emulator.seed("splits", 20)
    report = await client.splits.cancel_many([*ids, "gone", "a/b"])

    assert report.counts == {"cancelled": 20, "not_found": 1, "invalid": 1}
    assert report.counts[Disposition.UNCONFIRMED] == 0
    assert {outcome.run_id for outcome in report.failures} == {"gone", "a/b"}
    assert report.elapsed > 0
    assert report.end_reason == "completed"
    assert emulator.active_runs() == []
    with pytest.raises(ExceptionGroup, match="2 of 22 cancels failed") as caught:
        report.raise_for_failures()
    assert {type(error) for error in caught.value.exceptions} == {NotFoundError, InvalidRunIdError}


async def test_raise_for_failures_without_failures_raises_nothing(emulator: Emulator, client: AsyncRetab) -> None:
    runs = [await client.splits.get(run_id) for run_id in emulator.seed("splits", 3)]
    report = await client.splits.cancel_many(runs)

    report.raise_for_failures()
    assert report.counts == {"cancelled": 3}
    assert report.failures == ()


@pytest.mark.parametrize("form", ["list", "generator", "async generator"])
@pytest.mark.parametrize("order", ["completion", "input"])
async def test_ids_come_from_any_iterable(emulator: Emulator, client: AsyncRetab, form: str, order: Any) -> None:
    ids = emulator.seed("splits", 30)
    sources: dict[str, Any] = {"list": ids, "generator": iter(ids), "async generator": later(ids)}
    emulator.fail(CANCEL, Fault.delay_after_effect(0.05), Fault.status(503))
    outcomes = await outcomes_of(client.splits.cancel_many(sources[form], concurrency=7, order=order))

    seen_ids = [outcome.run_id for outcome in outcomes]
    assert (seen_ids == ids) == (order == "input")
    assert sorted(seen_ids) == sorted(ids)
    assert {outcome.disposition for outcome in outcomes} == {"cancelled"}


async def test_no_ids_give_an_empty_report(client: AsyncRetab) -> None:
    assert (await client.splits.cancel_many([])).counts == {}
    assert (await client.splits.cancel_many(later([]))).counts == {}
    assert await outcomes_of(client.splits.cancel_many(())) == []


async def test_failures_are_in_input_order_on_request(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.fail(CANCEL, Fault.delay(0.1))
    report = await client.splits.cancel_many(["a", "b", "c"], order="input")

    assert [outcome.run_id for outcome in report.failures] == ["a", "b", "c"]


async def test_few_ids_start_few_workers(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.fail(CANCEL, *[Fault.delay_after_effect(0.1)] * 3)
    task = asyncio.ensure_future(to_report(client.splits.cancel_many(emulator.seed("splits", 3))))
    most = 0
    while not task.done():
        most = max(most, len(workers()))
        await asyncio.sleep(0.005)

    assert 3 <= most <= 8


async def to_report(job: CancelJob[Any]) -> CancelReport:
    return await job


async def test_runs_of_several_kinds_are_given_by_class_or_name(emulator: Emulator, client: AsyncRetab) -> None:
    splits, partitions = emulator.seed("splits", 3), emulator.seed("partitions", 3)
    partition = await client.partitions.get(partitions[0])
    runs: list[Any] = [
        await client.splits.get(splits[0]),
        partition,
        ("splits", splits[1]),
        ("partitions", partitions[1]),
        (client.splits, splits[2]),
        (client.partitions, partitions[2]),
        (client.partitions, partition),
    ]
    outcomes = await outcomes_of(client.cancel_many(runs, order="input"))

    assert [outcome.kind for outcome in outcomes] == ["splits", "partitions"] * 3 + ["partitions"]
    assert {outcome.disposition for outcome in outcomes} == {"cancelled"}
    assert emulator.active_runs() == []


async def test_the_kind_of_a_run_is_never_guessed(emulator: Emulator, client: AsyncRetab) -> None:
    (run_id,) = emulator.seed("splits")
    split = await client.splits.get(run_id)
    other = AsyncRetab("sk_other_0123456789", base_url=emulator.url)
    wrong: list[Any] = [
        run_id,
        ("merges", run_id),
        (other.splits, run_id),
        ("splits", run_id, 1),
        ("partitions", split),
        ("splits", None),
        (None, run_id),
        Primitive(id=run_id, status=RunStatus.QUEUED),
        None,
    ]
    await other.aclose()
    outcomes = await outcomes_of(client.cancel_many(wrong))

    assert [(str(outcome.disposition), outcome.attempts) for outcome in outcomes] == [("invalid", 0)] * len(wrong)
    assert all(isinstance(outcome.error, InvalidRequestError | InvalidRunIdError) for outcome in outcomes)
    assert outcomes[0].run_id == run_id
    assert emulator.active_runs() == [run_id]


async def test_transient_failures_are_retried_and_counted(emulator: Emulator, client: AsyncRetab) -> None:
    (run_id,) = emulator.seed("splits")
    emulator.fail(CANCEL, Fault.reset(), Fault.status(503))
    (outcome,) = await outcomes_of(client.splits.cancel_many([run_id]))

    assert (str(outcome.disposition), outcome.attempts, outcome.error) == ("cancelled", 3, None)


async def test_the_clients_policy_limits_the_attempts(emulator: Emulator) -> None:
    policy = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.002)
    emulator.fail(CANCEL, Fault.reset_after_effect(), Fault.status(500))
    async with client_for(emulator.url, retry=policy) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(emulator.seed("splits")))

    assert (str(outcome.disposition), outcome.attempts) == ("unconfirmed", 2)
    assert isinstance(outcome.error, APIError)
    assert (outcome.error.attempts, outcome.error.in_doubt, outcome.error.__traceback__) == (2, True, None)


async def test_each_retry_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    fault = reply({"detail": f"\x1b[31m{KEY}\r\nforged"}, 500)
    policy = RetryPolicy(wait_initial=0.001, wait_max=0.002)
    async with raw_server(*[fault] * 3, reply(BARE_SPLIT)) as server, client_for(server.url, retry=policy) as client:
        await client.splits.cancel_many(["splt_1"])

    message = "[31m*** forged (POST /v1/splits/splt_1/cancel, status 500"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"attempt 2 of 4 in 0.00 s: {message}, 1 attempt)"),
        ("WARNING", f"attempt 3 of 4 in 0.00 s: {message}, 2 attempts)"),
        ("WARNING", f"attempt 4 of 4 when the API is back: {message}, 3 attempts)"),
    ]


async def test_no_attempt_is_made_beyond_the_deadline(emulator: Emulator) -> None:
    emulator.fail(CANCEL, Fault.status(500, retry_after=5))
    async with client_for(emulator.url, retry=RetryPolicy(deadline=2)) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(emulator.seed("splits")))

    assert (str(outcome.disposition), outcome.attempts) == ("unconfirmed", 1)


async def test_throttled_sends_are_repeated_and_not_counted(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.fail(CANCEL, *[Fault.status(429, retry_after=0.01)] * 6)
    (outcome,) = await outcomes_of(client.splits.cancel_many(emulator.seed("splits")))

    assert (str(outcome.disposition), outcome.attempts) == ("cancelled", 1)


async def test_an_active_run_after_the_cancel_is_accepted() -> None:
    async with raw_server(reply({**BARE_SPLIT, "status": "in_progress"})) as server, client_for(server.url) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"]))

    assert (str(outcome.disposition), outcome.run and outcome.run.status) == ("accepted", "in_progress")


@pytest.mark.parametrize(("end", "disposition"), [("cancelled", "cancelled"), ("completed", "finished")])
async def test_wait_follows_a_run_to_its_terminal_status(end: str, disposition: str) -> None:
    steps = reply({**BARE_SPLIT, "status": "in_progress"}), reply({**FULL_SPLIT, "status": end})
    async with raw_server(*steps) as server, client_for(server.url) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_7Qd2mK9xVw"], wait=True))

    assert (str(outcome.disposition), outcome.run and outcome.run.status) == (disposition, end)
    assert outcome.error is None


async def test_a_run_that_cannot_be_followed_stays_accepted() -> None:
    steps = reply({**BARE_SPLIT, "status": "in_progress"}), reply({"detail": "no"}, 403)
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(["splt_7Qd2mK9xVw"], wait=True)
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_7Qd2mK9xVw"]))

    assert report.counts == {"accepted": 1}
    assert str(outcome.disposition) == "unconfirmed"


async def test_a_run_that_is_active_after_wait_timeout_stays_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_: Waiter[Any], run_id: str, *, timeout: float) -> Any:
        raise WaitTimeoutError(run_id=run_id, timeout=timeout)

    monkeypatch.setattr(Waiter, "wait", wait)
    async with raw_server(reply({**BARE_SPLIT, "status": "queued"})) as server, client_for(server.url) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"], wait=True))

    assert str(outcome.disposition) == "accepted"
    assert isinstance(outcome.error, WaitTimeoutError)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_broken_iterable_releases_the_journal(client: AsyncRetab, tmp_path: Path, *, streams: bool) -> None:
    path = tmp_path / "ids.txt"
    path.touch()
    with path.open() as closed:
        pass
    job = client.splits.cancel_many(closed, journal=tmp_path / "cancel.jsonl")
    with pytest.raises(ValueError, match="closed file"):
        await (outcomes_of(job) if streams else job)

    assert (await client.splits.cancel_many([], journal=tmp_path / "cancel.jsonl")).counts == {}


@pytest.mark.parametrize("source", ["generator", "async generator"])
async def test_an_exception_of_the_producer_is_raised_after_the_taken_ids(
    emulator: Emulator, client: AsyncRetab, source: str
) -> None:
    ids = emulator.seed("splits", 9)

    def broken() -> Iterator[str]:
        yield from ids
        raise ZeroDivisionError

    def made() -> Any:
        return broken() if source == "generator" else later(ids, ZeroDivisionError())

    job = client.splits.cancel_many(made())
    with pytest.raises(ZeroDivisionError):
        await job
    async with client.splits.cancel_many(made()) as outcomes:
        seen_ids = [(await anext(outcomes)).run_id for _ in ids]
        with pytest.raises(ZeroDivisionError):
            await anext(outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)

    assert job.report.counts == {"cancelled": 9}
    assert sorted(seen_ids) == sorted(ids)


async def test_invalid_ids_of_an_asynchronous_source_are_reported(client: AsyncRetab) -> None:
    wrong: list[Any] = [None, 7, ("splits", "splt_1")]

    assert (await client.splits.cancel_many(later(wrong))).counts == {"invalid": 3}


async def test_a_cancelled_producer_cancels_the_job(client: AsyncRetab) -> None:
    async def cancelled() -> AsyncIterator[str]:
        yield "splt_1"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await client.splits.cancel_many(cancelled())


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), RecursionError("too deep"), MemoryError()])
async def test_an_unexpected_exception_is_the_outcome_of_its_id_alone(
    emulator: Emulator, client: AsyncRetab, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ids = emulator.seed("splits", 100)
    parser = client.splits._api._parser
    parse_cancel = parser.parse_cancel

    def parse(response: Any, run_id: str) -> Any:
        if run_id == ids[1]:
            raise error
        return parse_cancel(response, run_id)

    monkeypatch.setattr(parser, "parse_cancel", parse)
    report = await client.splits.cancel_many(later(ids))

    assert report.counts == {"cancelled": 99, "unconfirmed": 1}
    assert [(failure.run_id, failure.error) for failure in report.failures] == [(ids[1], error)]
    assert report.end_reason == "completed"


async def test_values_whose_repr_raises_are_invalid_and_the_job_goes_on(client: AsyncRetab) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RecursionError

    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    values: list[Any] = [Odd(), deep, "gone"]
    report = await client.splits.cancel_many(values, order="input")

    assert report.counts == {"invalid": 2, "not_found": 1}
    assert [failure.run_id for failure in report.failures] == ["<Odd>", "<list>", "gone"]


async def test_a_log_filter_that_raises_costs_only_the_id_that_was_logged() -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError(record.msg)

    logger = logging.getLogger("retab_async")
    logger.addFilter(broken)
    try:
        async with raw_server(reply(b"", 500)) as server, client_for(server.url) as client:
            report = await client.splits.cancel_many(["splt_1"])
    finally:
        logger.removeFilter(broken)

    (failure,) = report.failures
    assert (failure.disposition, failure.attempts) == ("unconfirmed", 1)
    assert isinstance(failure.error, ZeroDivisionError)


async def test_a_closed_client_ends_the_job(client: AsyncRetab) -> None:
    ids = Pulled()
    await client.aclose()
    job = client.splits.cancel_many(ids, concurrency=4)
    with pytest.raises(ClientStateError):
        await job

    assert job.report.counts[Disposition.UNCONFIRMED] == ids.count <= 4


async def test_an_endless_generator_is_consumed_while_iterated(client: AsyncRetab) -> None:
    seen = 0
    async with client.splits.cancel_many((f"splt_{n}" for n in count()), concurrency=8) as outcomes:
        async for outcome in outcomes:
            assert outcome.disposition == "not_found"
            seen += 1
            if seen == 1200:
                break
        report = outcomes.report

    assert report.counts[Disposition.NOT_FOUND] >= 1200
    assert len(report.failures) == 1000
    assert workers() == []


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_a_slow_consumer_stops_the_producer(client: AsyncRetab, order: Any) -> None:
    ids = Pulled()
    async with client.splits.cancel_many(ids, concurrency=5, order=order) as outcomes:
        await anext(outcomes)
        await asyncio.sleep(0.2)
        assert ids.count <= 11
        await anext(outcomes)
        await until(lambda: ids.count >= 12)
        await asyncio.sleep(0.05)
        assert ids.count <= 12


async def test_a_pending_first_id_bounds_the_ids_under_way_in_input_order(
    emulator: Emulator, client: AsyncRetab
) -> None:
    emulator.fail(CANCEL, Fault.hang())
    ids = Pulled()
    async with client.splits.cancel_many(ids, concurrency=5, order="input") as outcomes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(outcomes)
        assert ids.count == 10


async def test_invalid_ids_do_not_block_the_loop(client: AsyncRetab) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.splits.cancel_many("a/b" for _ in count())

    assert workers() == []


async def test_a_duplicate_id_is_sent_twice(emulator: Emulator, client: AsyncRetab) -> None:
    (run_id,) = emulator.seed("splits")
    report = await client.splits.cancel_many([run_id, run_id])

    assert report.counts == {"cancelled": 2}
    assert cancels(emulator) == {run_id: 2}


@pytest.mark.parametrize("form", ["list", "async generator"])
async def test_dedupe_sends_a_duplicate_id_once(emulator: Emulator, client: AsyncRetab, form: str) -> None:
    ids = emulator.seed("splits", 5)
    values = [*ids, *ids, "a/b", *reversed(ids)]
    source: Any = values if form == "list" else later(values)
    outcomes = await outcomes_of(client.splits.cancel_many(source, dedupe=True, order="input"))

    assert [outcome.run_id for outcome in outcomes] == [*ids, "a/b"]
    assert cancels(emulator) == dict.fromkeys(ids, 1)


async def test_dedupe_counts_the_ids_that_it_skips(emulator: Emulator, client: AsyncRetab) -> None:
    one, two = emulator.seed("splits", 2)
    report = await client.splits.cancel_many([one, two, one, one], dedupe=True)

    assert (report.duplicates, report.counts.total()) == (2, 2)


async def test_a_report_has_the_credits_of_its_runs(emulator: Emulator, client: AsyncRetab) -> None:
    finished = emulator.seed("splits", 2, status="completed")
    active = emulator.seed("splits", 2)
    runs = [await client.splits.get(run_id) for run_id in finished]
    report = await client.splits.cancel_many([*finished, *active, "splt_unknown"])

    costs = [run.usage.credits for run in runs if run.usage and run.usage.credits]
    assert len(costs) == 2
    assert report.credits == pytest.approx(sum(costs))


async def test_a_report_of_kinds_without_a_cost_has_no_credits(emulator: Emulator, client: AsyncRetab) -> None:
    finished = emulator.seed("workflows.runs", status="completed")
    report = await client.workflows.runs.cancel_many(finished)

    assert (report.counts.total(), report.credits) == (1, 0.0)


async def test_dedupe_tells_kinds_apart(emulator: Emulator, client: AsyncRetab) -> None:
    (run_id,) = emulator.seed("splits")
    report = await client.cancel_many([("splits", run_id), ("partitions", run_id), ("splits", run_id)], dedupe=True)

    assert report.counts == {"cancelled": 1, "not_found": 1}


async def test_a_pager_is_a_source_of_ids(emulator: Emulator, client: AsyncRetab) -> None:
    emulator.seed("splits", 5)
    async with client.splits.cancel_many(client.splits.list(limit=2), concurrency=1) as outcomes:
        await anext(outcomes)
    report = await client.splits.cancel_many(client.splits.list(limit=2))

    assert report.counts == {"cancelled": 5}


async def test_the_repr_of_a_job_shows_its_state_and_counts(emulator: Emulator, client: AsyncRetab) -> None:
    job = client.splits.cancel_many([*emulator.seed("splits", 2), "a/b"])
    before = repr(job)
    await job

    assert before == "<CancelJob not started: no outcomes>"
    assert repr(job) == "<CancelJob completed: 2 cancelled, 1 invalid>"


async def test_a_job_runs_once(client: AsyncRetab) -> None:
    job = client.splits.cancel_many([])
    assert job.report == CancelReport(counts=Counter(), failures=(), elapsed=0.0)
    with pytest.raises(RuntimeError, match="inside its block"):
        await anext(job)
    await job

    with pytest.raises(RuntimeError, match="started before"):
        await job
    with pytest.raises(RuntimeError, match="started before"):
        async with job:
            pass


@pytest.mark.parametrize(
    ("ids", "settings", "error"),
    [
        ("splt_1", {}, InvalidRequestError),
        (None, {}, InvalidRequestError),
        ([], {"concurrency": 0}, ConfigurationError),
        ([], {"order": "random"}, InvalidRequestError),
        ([], {"wait": 1}, InvalidRequestError),
        ([], {"outage_timeout": -1}, ConfigurationError),
    ],
)
async def test_invalid_arguments_raise_at_once(
    client: AsyncRetab, ids: Any, settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.splits.cancel_many(ids, **settings)


async def test_a_journal_resumes_a_job(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    ids, journal = emulator.seed("splits", 20), tmp_path / "cancel.jsonl"
    await client.splits.cancel_many([*ids[:12], "splt_missing", "a/b"], journal=journal)
    report = await client.splits.cancel_many([*ids, "splt_missing", "a/b"], journal=str(journal))

    assert report.counts == {"cancelled": 20, "not_found": 1, "invalid": 1}
    assert report.settled == {"cancelled": 12, "not_found": 1}
    assert [cancels(emulator)[run_id] for run_id in ids] == [1] * 20
    assert cancels(emulator)["splt_missing"] == 1


@pytest.mark.parametrize("streams", [False, True])
async def test_failures_settled_in_the_journal_are_failures_of_the_resumed_job(
    *, emulator: Emulator, client: AsyncRetab, tmp_path: Path, streams: bool
) -> None:
    ids, journal = emulator.seed("splits", 3), tmp_path / "cancel.jsonl"
    values = ["splt_missing", *ids]
    first = await client.splits.cancel_many(values, journal=journal)
    job = client.splits.cancel_many(values, journal=journal, order="input")
    outcomes = await outcomes_of(job) if streams else list((await job).failures)

    (outcome,) = outcomes
    assert job.report.failures == (outcome,)
    assert (outcome.run_id, outcome.kind, str(outcome.disposition), outcome.attempts) == (
        "splt_missing",
        "splits",
        "not_found",
        0,
    )
    assert isinstance(outcome.error, SettledError)
    assert str(outcome.error) == str(first.failures[0].error)
    with pytest.raises(ExceptionGroup, match="1 of 4 cancels failed"):
        job.report.raise_for_failures()


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_resumed_stream_has_the_outcomes_of_the_other_ids(
    *, emulator: Emulator, client: AsyncRetab, tmp_path: Path, order: Literal["completion", "input"]
) -> None:
    ids, journal = emulator.seed("splits", 12), tmp_path / "cancel.jsonl"
    await client.splits.cancel_many(ids[1::3], journal=journal)
    job = client.splits.cancel_many([*ids[:6], "no id", *ids[6:]], journal=journal, concurrency=1, order=order)
    outcomes = await outcomes_of(job)

    others = [run_id for run_id in ids if run_id not in ids[1::3]]
    assert [outcome.run_id for outcome in outcomes] == [*others[:4], "no id", *others[4:]]
    assert job.report.settled == {"cancelled": 4}
    assert job._queue is not None
    assert not job._queue._early


async def test_counts_are_those_of_the_ids_of_the_call(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    ids, journal = emulator.seed("splits", 10), tmp_path / "cancel.jsonl"
    await client.splits.cancel_many(ids, journal=journal)
    nothing = await client.splits.cancel_many([], journal=journal)
    some = await client.splits.cancel_many(ids[:4], journal=journal)

    assert (nothing.counts, nothing.settled, nothing.failures) == ({}, {}, ())
    assert (some.counts, some.settled) == ({"cancelled": 4}, {"cancelled": 4})


@pytest.mark.parametrize("wait", [False, True])
async def test_a_journal_of_another_kind_or_account_is_rejected(
    *, emulator: Emulator, client: AsyncRetab, tmp_path: Path, wait: bool
) -> None:
    journal = tmp_path / "cancel.jsonl"
    await client.splits.cancel_many(emulator.seed("splits", 2), journal=journal)
    async with client_for(emulator.url, api_key="sk_other_0123456789") as other:
        with pytest.raises(JournalError, match="another API key"):
            await other.splits.cancel_many(["splt_1"], journal=journal, wait=wait)
    with pytest.raises(JournalError, match="a job on splits, not on partitions"):
        await client.partitions.cancel_many(["prtn_1"], journal=journal, wait=wait)

    assert len(emulator.requests) == 2


async def test_settled_ids_release_their_slots(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    ids, journal = emulator.seed("splits", 30), tmp_path / "cancel.jsonl"
    values = [run_id for pair in zip(ids, (f"splt_none_{n}" for n in range(30)), strict=True) for run_id in pair]
    await client.splits.cancel_many(values, journal=journal)
    async with asyncio.timeout(10):
        streamed = await outcomes_of(client.splits.cancel_many(iter(values), concurrency=2, journal=journal))
        awaited = await client.splits.cancel_many(iter(values), concurrency=2, journal=journal, wait=True)

    assert len(streamed) == 30
    assert awaited.counts == {"cancelled": 30, "not_found": 30}


async def test_a_disposition_of_a_later_version_in_the_journal_is_sent_again(
    emulator: Emulator, client: AsyncRetab, tmp_path: Path
) -> None:
    ids, journal = emulator.seed("splits", 2), tmp_path / "cancel.jsonl"
    await client.splits.cancel_many(ids, journal=journal)
    journal.write_text(journal.read_text().replace('"disposition":"cancelled"', '"disposition":"archived"'))
    report = await client.splits.cancel_many(ids, journal=journal)

    assert report.counts == {"cancelled": 2}
    assert cancels(emulator) == dict.fromkeys(ids, 2)


async def test_unconfirmed_ids_are_sent_again_on_resume(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    ids, journal = emulator.seed("splits", 3), tmp_path / "cancel.jsonl"
    emulator.fail(CANCEL, *[Fault.status(500)] * 4)
    async with client_for(emulator.url, retry=QUICK) as impatient:
        first = await impatient.splits.cancel_many(ids, concurrency=1, outage_timeout=0.01, journal=journal)
        assert first.counts[Disposition.UNCONFIRMED]
    report = await client.splits.cancel_many(ids, journal=journal)

    assert report.counts[Disposition.CANCELLED] == 3
    assert emulator.active_runs() == []


async def test_a_stream_writes_the_journal(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    ids, journal = emulator.seed("partitions", 5), tmp_path / "cancel.jsonl"
    await outcomes_of(client.cancel_many([("partitions", run_id) for run_id in ids], journal=journal))

    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert sorted(line["run_id"] for line in lines) == sorted(ids)
    assert {(line["kind"], line["disposition"], line["status"]) for line in lines} == {
        ("partitions", "cancelled", "cancelled")
    }


async def test_ids_without_a_kind_are_not_in_the_journal(
    emulator: Emulator, client: AsyncRetab, tmp_path: Path
) -> None:
    wrong: list[Any] = [("merges", "mrg_1")]
    report = await client.cancel_many(wrong, journal=tmp_path / "cancel.jsonl")

    assert report.counts == {"invalid": 1}
    assert (await asyncio.to_thread((tmp_path / "cancel.jsonl").read_text)).count("\n") == 1


async def test_a_dry_run_writes_no_journal(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    emulator.seed("splits", 3)
    await client.splits.cancel_matching(dry_run=True, journal=tmp_path / "cancel.jsonl")

    assert not os.listdir(tmp_path)  # noqa: PTH208 - no blocking call of a path's


async def test_a_journal_belongs_to_one_job(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    journal = tmp_path / "cancel.jsonl"
    emulator.seed("splits")
    async with client.splits.cancel_many([], journal=journal):
        with pytest.raises(JournalError, match="another job"):
            await client.splits.cancel_many(emulator.active_runs(), journal=journal)

    assert len(emulator.active_runs()) == 1
    await client.splits.cancel_many(emulator.active_runs(), journal=journal)
    assert emulator.active_runs() == []


@pytest.mark.parametrize("streams", [False, True])
async def test_a_journal_that_cannot_be_written_ends_the_job(
    *, streams: bool, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, batch: bytes, end: int) -> None:
        if batch:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("retab_async.journal.journal._WRITE_INTERVAL", 0.01)
    monkeypatch.setattr("retab_async.journal.journal.append", full)

    async def endless() -> AsyncIterator[str]:
        while True:
            yield emulator.seed("splits")[0]
            await asyncio.sleep(0.001)

    job = client.splits.cancel_many(endless(), concurrency=2, journal=tmp_path / "cancel.jsonl")
    with pytest.raises(JournalError, match="No space left"):
        await (outcomes_of(job) if streams else job)

    assert job.report.counts[Disposition.CANCELLED]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_journal_that_cannot_be_closed_raises(
    *, streams: bool, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("retab_async.journal.journal.append", full)
    monkeypatch.setattr("retab_async.journal.journal._WRITE_INTERVAL", 60)
    job = client.splits.cancel_many(emulator.seed("splits", 3), journal=tmp_path / "cancel.jsonl")

    with pytest.raises(JournalError, match="No space left"):
        await (outcomes_of(job) if streams else job)

    assert job.report.counts[Disposition.CANCELLED] == 3


async def test_a_cancelled_job_releases_its_journal(emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
    journal, ids = tmp_path / "cancel.jsonl", emulator.seed("splits", 3)
    emulator.fail(CANCEL, *[Fault.hang()] * 3)
    with anyio.move_on_after(0.1):
        await client.splits.cancel_many(ids, journal=journal)
    await until(lambda: not any("journal" in thread.name for thread in threading.enumerate()))

    assert (await client.splits.cancel_many(ids, journal=journal)).counts[Disposition.CANCELLED] == 3


async def test_a_rate_limit_is_kept_from_the_start() -> None:
    async with (
        Emulator(running=1000.0, rate_limit=emulator_limits.RateLimit(3, per=0.3)) as emulator,
        client_for(emulator.url) as client,
    ):
        report = await client.splits.cancel_many(emulator.seed("splits", 9), rate_limit=RateLimit(3, per=0.3))

        assert report.counts == {"cancelled": 9}
        assert client.stats().throttled == 0


async def test_a_shared_limit_belongs_to_the_client(client: AsyncRetab, tmp_path: Path) -> None:
    limit = FileRateLimit(tmp_path / "limit", 300, per=60)
    with pytest.raises(ConfigurationError, match=r"pass it as AsyncRetab\(rate_limit=FileRateLimit\("):
        client.splits.cancel_many([], rate_limit=limit)  # type: ignore[arg-type]


async def test_an_invalid_rate_limit_raises_at_once(client: AsyncRetab) -> None:
    with pytest.raises(ConfigurationError, match="RateLimit"):
        client.splits.cancel_many([], rate_limit=(300, 60))  # type: ignore[arg-type]


@pytest.mark.slow
async def test_under_faults_each_id_has_one_true_outcome() -> None:
    random = Random(7)
    async with Emulator(running=1000.0) as emulator:
        settings: dict[str, Any] = {"timeout": 0.5, "retry": QUICK}
        async with client_for(emulator.url, **settings) as client:
            ids = emulator.seed("splits", 1000)
            faults = [
                Fault.reset(),
                Fault.reset_after_effect(),
                Fault.status(503),
                Fault.status(200, body="<html>"),
                Fault.truncate(),
            ]
            emulator.fail(
                CANCEL, *(random.choice(faults) if random.random() < 0.1 else Fault.delay_after_effect(0) for _ in ids)
            )
            emulator.fail(CANCEL, *[Fault.hang()] * 3, *[Fault.hang_after_effect()] * 3)
            outcomes = await outcomes_of(client.splits.cancel_many(iter(ids)))
            alive = set(emulator.active_runs())

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids)
    assert not alive & {outcome.run_id for outcome in outcomes if outcome.disposition == "cancelled"}
    # What answers 200 and does nothing is in flight still, and a GET says so.
    assert {outcome.disposition for outcome in outcomes} <= {"cancelled", "accepted", "unconfirmed"}
    assert sum(outcome.disposition == "cancelled" for outcome in outcomes) > 900


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_number_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client_for("http://127.0.0.1:1") as client:
        split = Split(id="splt_1", status=RunStatus.CANCELLED)

        async def cancel(_: Any, run_id: str) -> Split:
            await asyncio.sleep(0)
            return split

        monkeypatch.setattr("retab_async.api.run_api.RunApi.cancel", cancel)

        async def grown(number: int) -> int:
            gc.collect()
            tracemalloc.start()
            async with client.splits.cancel_many(f"splt_{n}" for n in range(number)) as outcomes:
                seen = [1 async for outcome in outcomes if outcome.run_id == "splt_0"]
            await client.splits.cancel_many(f"splt_{n}" for n in range(number))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert seen == [1]
            return peak

        few = await grown(500)
        many = await grown(10_000)

    assert many < few + 500_000


@pytest.mark.parametrize("leave", ["break", "cancel", "await"])
@pytest.mark.parametrize("phase", ["sending", "retrying", "taking", "full"])
async def test_leaving_a_job_leaves_no_task_and_no_connection(phase: str, leave: str) -> None:
    async def forever() -> AsyncIterator[str]:
        yield "splt_1"
        await asyncio.Event().wait()

    steps = {"sending": stall, "retrying": reply(b"", 503, {"Retry-After": "5"})}
    source: Any = forever() if phase == "taking" else Pulled()
    async with (
        raw_server(steps.get(phase, reply(BARE_SPLIT))) as server,
        client_for(server.url, retry=RetryPolicy()) as client,
    ):
        before = asyncio.all_tasks()

        async def run() -> None:
            job = client.splits.cancel_many(source, concurrency=4)
            if leave == "await":
                await job
            async with job:
                await (asyncio.sleep(0.1) if leave == "break" else asyncio.Event().wait())

        task = asyncio.ensure_future(run())
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.wait([task], timeout=5)

        assert task.done()
        assert asyncio.all_tasks() - server._tasks <= before
        assert connections_in_use(client) == 0


@pytest.mark.parametrize("leave", ["break", "await"])
async def test_under_anyio_leaving_a_job_ends_its_workers(leave: str) -> None:
    anyio = pytest.importorskip("anyio")
    async with raw_server(stall) as server, client_for(server.url) as client:
        with anyio.move_on_after(0.1) as scope:
            job = client.splits.cancel_many(Pulled(), concurrency=4)
            if leave == "await":
                await job
            async with job as outcomes:
                await anext(outcomes)
        await asyncio.sleep(0.01)

        assert scope.cancelled_caught
        assert workers() == []
