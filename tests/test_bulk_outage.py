"""Outages during bulk cancels: probes, recovery, and giving up; those that take long run in virtual time."""

import asyncio
import json
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count, product
from math import inf
from typing import Any, NamedTuple

import aiohttp
import pytest
import trustme
from clients import client_for, connections_in_use, workers
from payloads import BARE_SPLIT
from raw_server import RawServer, Step, Wire, raw_server, reply, reset, stall, until, unused_port
from virtual_time import Clock, in_virtual_time

from retab_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncRetab,
    CancelJob,
    CancelOutcome,
    CancelReport,
    ClientStateError,
    Disposition,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
)
from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState, probe_timeout
from retab_async.polling import Waiter
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.transport.exchange import Exchange

ok = reply(BARE_SPLIT)
AWAY: dict[str, Step] = {"503": reply(b"", 503), "reset": reset, "Retry-After": reply(b"", 503, {"Retry-After": "0.3"})}


class Switch:
    """A server that is there, or away; one of the `broken` ids fails always."""

    def __init__(self, *broken: str) -> None:
        self.server: RawServer
        self.away: Step | None = None
        self.broken = broken

    async def __call__(self, wire: Wire) -> None:
        run_id = self.server.requests[-1].target.split("/")[-2]
        step = self.away or (reply(b"", 500) if run_id in self.broken else ok)
        await step(wire)

    @property
    def sends(self) -> Counter[str]:
        return Counter(request.target.split("/")[-2] for request in self.server.requests)


@asynccontextmanager
async def switched(*broken: str, **settings: Any) -> AsyncIterator[tuple[Switch, AsyncRetab]]:
    switch = Switch(*broken)
    async with raw_server(switch) as server, client_for(server.url, **settings) as client:
        switch.server = server
        yield switch, client


async def outcomes_of(job: CancelJob[Any]) -> list[CancelOutcome[Any]]:
    async with job as outcomes:
        return [outcome async for outcome in outcomes]


def is_open(job: CancelJob[Any]) -> bool:
    return job._runner is not None and job._runner.breaker.state is CircuitState.OPEN


def ids_of(number: int) -> list[str]:
    return [f"splt_{n}" for n in range(number)]


@pytest.mark.slow
@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY)
async def test_an_outage_loses_no_id(away: Step) -> None:
    async with switched() as (switch, client):
        outcomes = []
        async with client.splits.cancel_many(ids_of(300), concurrency=4) as job:
            async for outcome in job:
                outcomes.append(outcome)
                if len(outcomes) == 50:
                    switch.away = away
                    asyncio.get_running_loop().call_later(1.0, setattr, switch, "away", None)

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids_of(300))
    assert {outcome.disposition for outcome in outcomes} == {"cancelled"}
    assert sum(switch.sends.values()) < 300 + 8 * 4 + 30


ROUND_TRIP = 0.1
TIMEOUT = 15.0
OUTAGE_TIMEOUT = 60.0


class SimulatedJob(NamedTuple):
    """Result of a job in virtual time: its report, when each id was last answered, and how often each was sent."""

    report: CancelReport
    answered_at: dict[str, float]
    sends: Counter[str]


def simulate(patch: pytest.MonkeyPatch, ids: int, failure: str, *, workers: int, starts: float, seconds: float) -> Any:
    """Run a job in virtual time, with an outage that starts and lasts as given."""

    async def scenario(clock: Clock) -> SimulatedJob:
        rng = random.Random(1)
        started_at = clock()
        answered_at: dict[str, float] = {}
        sends: Counter[str] = Counter()

        async def run(_: Exchange, request: Request, number: int, timeout: float, delivery: DeliveryState) -> Response:
            run_id = request.path.split("/")[-2]
            sends[run_id] += 1
            is_away = starts <= clock() - started_at < starts + seconds
            if is_away and failure == "disconnect":
                raise aiohttp.ServerDisconnectedError
            if is_away and failure == "hang":
                await asyncio.sleep(timeout + rng.uniform(0, 0.01))
                raise TimeoutError
            await asyncio.sleep(ROUND_TRIP)
            if is_away:
                return Response(request, 503, {}, b"", number, str)
            answered_at[run_id] = clock() - started_at
            return Response(request, 200, {}, json.dumps({**BARE_SPLIT, "id": run_id}).encode(), number, str)

        patch.setattr(Exchange, "run", run)
        patch.setattr(time, "monotonic", clock)
        async with AsyncRetab("sk_test", timeout=TIMEOUT) as client:
            job = client.splits.cancel_many(iter(ids_of(ids)), concurrency=workers, outage_timeout=OUTAGE_TIMEOUT)
            return SimulatedJob(await job, answered_at, sends)

    return in_virtual_time(scenario)


# A hanging server is known to be unavailable when the first sends have timed out; one worker needs three of them.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "seconds", "workers"),
    [
        *product(("disconnect", "503"), (0.7, 10.0, 55.0), (1, 8, 64)),
        *product(("hang",), (20.0, 55.0), (8, 64)),
        ("hang", 55.0, 1),
    ],
)
def test_work_resumes_within_two_seconds_of_recovery(
    failure: str, seconds: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulate(monkeypatch, 1000, failure, workers=workers, starts=1.0, seconds=seconds)
    after = sorted(moment for moment in job.answered_at.values() if moment >= 1.0 + seconds)

    assert job.report.counts == {"cancelled": 1000}
    assert len(job.answered_at) == 1000
    # The first one is that of a probe.
    assert after[1] <= 1.0 + seconds + 2.0
    # Those in flight when the outage started, and the probes.
    assert job.sends.total() <= 1000 + workers + 8 + seconds


@pytest.mark.parametrize("seed", [6, 9, 15])
def test_a_send_repeated_before_the_circuit_opens_does_not_delay_the_recovery(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With these seeds a worker sends again before the sends of the others have timed out.
    random.seed(seed)
    job = simulate(monkeypatch, 100, "hang", workers=8, starts=1.0, seconds=20.0)

    assert min(moment for moment in job.answered_at.values() if moment >= 21.0) <= 23.0


@pytest.mark.parametrize("failure", ["disconnect", "503", "hang"])
def test_a_total_outage_sends_few_requests(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = simulate(monkeypatch, 400, failure, workers=64, starts=0.0, seconds=inf)

    assert job.report.counts == {"unconfirmed": 400}
    assert len(job.report.failures) == 400
    assert job.sends.total() <= 440
    assert job.report.elapsed < OUTAGE_TIMEOUT + 2 * TIMEOUT


@pytest.mark.slow
async def test_an_open_circuit_sends_one_probe_at_a_time() -> None:
    async with switched() as (switch, client), client.splits.cancel_many(ids_of(200), concurrency=20) as job:
        for _ in range(50):
            await anext(job)
        switch.away = AWAY["503"]
        await until(lambda: is_open(job))
        await asyncio.sleep(0.1)
        before = len(switch.server.requests)
        await asyncio.sleep(1.5)
        probes = switch.server.requests[before:]
        switch.away = None
        rest = [outcome.run_id async for outcome in job]

    assert 2 <= len(probes) <= 4
    assert len({probe.target for probe in probes}) == 1
    assert len(set(rest)) == 150


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "concurrency"), [("list", 1), ("list", 16), ("generator", 16), ("async generator", 16)]
)
async def test_a_total_outage_reports_the_ids_unsent(source: str, concurrency: int) -> None:
    ids = ids_of(400)

    async def later() -> AsyncIterator[str]:
        for run_id in ids:
            yield run_id

    sources: dict[str, Any] = {"list": ids, "generator": iter(ids), "async generator": later()}
    async with switched() as (switch, client):
        switch.away = reply(b"", 503)
        report = await client.splits.cancel_many(sources[source], concurrency=concurrency, outage_timeout=0.7)

    assert report.counts == {"unconfirmed": 400}
    assert sorted(outcome.run_id for outcome in report.failures) == sorted(ids)
    assert {type(outcome.error) for outcome in report.failures} == {InternalServerError}
    assert sum(outcome.attempts == 0 for outcome in report.failures) > 350
    assert sum(outcome.attempts for outcome in report.failures) == len(switch.server.requests) < 440
    assert report.end_reason == "outage"
    with pytest.raises(ExceptionGroup, match="400 of 400") as caught:
        report.raise_for_failures()
    assert len(caught.value.exceptions) < 50


@pytest.mark.slow
@pytest.mark.parametrize("source", ["generator", "async generator"])
async def test_an_endless_source_is_closed_in_a_total_outage(source: str) -> None:
    async def later() -> AsyncIterator[str]:
        for number in range(30):
            yield f"splt_{number}"
        await asyncio.Event().wait()

    ids: Any = later() if source == "async generator" else (f"splt_{n}" for n in count())
    url = f"http://127.0.0.1:{unused_port()}"
    async with client_for(url) as client:
        report = await client.splits.cancel_many(ids, concurrency=4, outage_timeout=0.3)

    assert report.end_reason == "outage"
    assert report.counts.total() == report.counts[Disposition.UNCONFIRMED] >= 30
    assert isinstance(report.failures[0].error, APIConnectionError)


@pytest.mark.parametrize(("status", "retry_after"), [(429, 301), (503, 61)])
@pytest.mark.parametrize("number", [1, 200])
async def test_a_retry_after_beyond_the_outage_timeout_ends_the_job(status: int, retry_after: int, number: int) -> None:
    away = reply(b"", status, {"Retry-After": str(retry_after)})
    async with raw_server(away) as server, client_for(server.url) as client, asyncio.timeout(20):
        report = await client.splits.cancel_many(ids_of(number))

    assert report.counts == {Disposition.UNCONFIRMED: number}
    assert f"Retry-After {retry_after} s" in str(report.failures[0].error)
    assert sum(outcome.attempts for outcome in report.failures) == len(server.requests) < 10


async def test_a_429_pause_longer_than_the_outage_timeout_is_kept() -> None:
    full = reply(b"", 429, {"Retry-After": "0.5"})
    async with raw_server(full, ok) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(1), outage_timeout=0.1)

    assert report.counts == {Disposition.CANCELLED: 1}
    assert len(server.requests) == 2


async def test_a_pause_from_another_call_holds_the_job_back() -> None:
    async with raw_server(reply(b"", 429, {"Retry-After": "3600"})) as server, client_for(server.url) as client:
        with pytest.raises(RateLimitError):
            await client.splits.get("splt_1")
        report = await client.splits.cancel_many(ids_of(50))

    assert report.counts == {Disposition.UNCONFIRMED: 50}
    assert {(outcome.attempts, type(outcome.error)) for outcome in report.failures} == {(0, APITimeoutError)}
    assert len(server.requests) == 1


async def test_a_server_that_only_throttles_with_503_is_an_outage() -> None:
    async with raw_server(reply(b"", 503, {"Retry-After": "0.1"})) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(50), outage_timeout=0.5)

    assert report.counts == {Disposition.UNCONFIRMED: 50}
    assert {type(outcome.error) for outcome in report.failures} <= {InternalServerError, APITimeoutError}
    assert len(server.requests) < 30


@pytest.mark.slow
async def test_a_throttled_probe_is_a_failed_probe() -> None:
    async with switched() as (switch, client), client.splits.cancel_many(ids_of(100), concurrency=4) as job:
        await anext(job)
        switch.away = AWAY["503"]
        await until(lambda: is_open(job))
        switch.away = AWAY["Retry-After"]
        asyncio.get_running_loop().call_later(0.6, setattr, switch, "away", None)
        rest = [outcome.disposition async for outcome in job]

    assert Counter(rest) == {"cancelled": 99}


@pytest.mark.slow
async def test_a_single_id_outlasts_an_outage() -> None:
    async with switched() as (switch, client):
        switch.away = reset
        asyncio.get_running_loop().call_later(0.8, setattr, switch, "away", None)
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"]))

    assert outcome.disposition == "cancelled"
    assert outcome.attempts == switch.sends["splt_1"] > 3


@pytest.mark.parametrize("at", [0, 20, 49])
@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_an_id_that_always_fails_is_not_an_outage(at: int, concurrency: int) -> None:
    ids = ids_of(50)
    bad = ids[at : at + 1]
    async with asyncio.timeout(20), switched(*bad) as (_, client):
        outcomes = await outcomes_of(client.splits.cancel_many(ids, concurrency=concurrency))

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids)
    failed = [outcome for outcome in outcomes if outcome.disposition != "cancelled"]
    assert [outcome.run_id for outcome in failed] == bad
    assert failed[0].attempts == 4


async def test_an_exhausted_id_is_not_sent_again_after_the_circuit_closes() -> None:
    policy = RetryPolicy(attempts=3, wait_initial=0.001)
    async with asyncio.timeout(20), switched("splt_1", retry=policy) as (switch, client):
        report = await client.splits.cancel_many(ids_of(3), concurrency=1)

    assert report.counts == {"cancelled": 2, "unconfirmed": 1}
    assert switch.sends["splt_1"] == report.failures[0].attempts == 3


async def test_ids_that_were_probed_in_an_outage_before_any_success_are_cancelled_after_it() -> None:
    async with asyncio.timeout(20), switched() as (switch, client):
        switch.away = reset
        async with client.splits.cancel_many(ids_of(30), concurrency=4) as job:
            # Workers beyond the concurrency keep the ids of failed probes.
            await until(lambda: job._runner is not None and len(job._runner.workers.tasks) > 4)
            switch.away = None
            outcomes = [outcome async for outcome in job]

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids_of(30))
    assert {outcome.disposition for outcome in outcomes} == {"cancelled"}


@pytest.mark.slow
async def test_an_invalid_id_is_no_probe() -> None:
    ids: list[Any] = [*ids_of(2), None, 5, *ids_of(2)]
    async with switched() as (switch, client):
        switch.away = reset
        asyncio.get_running_loop().call_later(1.0, setattr, switch, "away", None)
        report = await client.splits.cancel_many(ids, concurrency=2)

    assert report.counts == {"cancelled": 4, "invalid": 2}


async def test_ids_that_always_fail_in_an_asynchronous_source_are_no_outage() -> None:
    async def later() -> AsyncIterator[str]:
        for run_id in ids_of(20):
            await asyncio.sleep(0.01)
            yield run_id

    async with asyncio.timeout(20), switched("splt_3", "splt_4") as (_, client):
        report = await client.splits.cancel_many(later(), concurrency=4)

    assert report.counts == {"cancelled": 18, "unconfirmed": 2}


async def test_an_id_taken_during_an_outage_waits_unsent() -> None:
    comes = asyncio.Event()

    async def ids() -> AsyncIterator[str]:
        for run_id in ids_of(60):
            yield run_id
        await comes.wait()
        yield "splt_late"

    async with switched() as (switch, client), client.splits.cancel_many(ids(), concurrency=20) as job:
        for _ in range(20):
            await anext(job)
        switch.away = AWAY["503"]
        await until(lambda: is_open(job))
        comes.set()
        await asyncio.sleep(0.2)
        assert switch.sends["splt_late"] == 0
        switch.away = None
        rest = [outcome.run_id async for outcome in job]

    assert "splt_late" in rest
    assert len(set(rest)) == 41


@pytest.mark.slow
async def test_as_many_failing_ids_as_workers_are_no_outage() -> None:
    bad = ids_of(12)
    async with asyncio.timeout(20), switched(*bad) as (_, client):
        report = await client.splits.cancel_many(ids_of(100), concurrency=12, outage_timeout=10)

    assert report.counts == {"cancelled": 88, "unconfirmed": 12}


@pytest.mark.slow
async def test_a_hanging_server_is_probed_with_a_short_timeout() -> None:
    ids = ids_of(2000)
    taken: list[str] = []

    async def consume(job: CancelJob[Any]) -> None:
        # All the time: a stream whose consumer pauses sends nothing, and notices no outage.
        taken.extend([outcome.run_id async for outcome in job])

    async with (
        asyncio.timeout(60),
        switched(timeout=1) as (switch, client),
        client.splits.cancel_many(ids, concurrency=8) as job,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(consume(job))
        await until(lambda: switch.sends.total() > 20)
        switch.away = stall
        await until(lambda: is_open(job))
        await asyncio.sleep(0.5)
        switch.away = None

    assert sorted(taken) == sorted(ids)


async def test_closing_the_client_in_an_outage_ends_a_stream() -> None:
    async with asyncio.timeout(5), switched() as (switch, client):
        job = client.splits.cancel_many(ids_of(40), concurrency=4)
        async with job:
            await anext(job)
            switch.away = reset
            await until(lambda: is_open(job))
            await client.aclose()
            with pytest.raises(ClientStateError):  # noqa: PT012 - the last of some outcomes
                while True:
                    await anext(job)

    assert job.report.counts[Disposition.UNCONFIRMED] >= 4


async def test_closing_the_client_in_an_outage_ends_an_awaited_job() -> None:
    async with asyncio.timeout(5), switched() as (switch, client):
        switch.away = reset
        job = client.splits.cancel_many(ids_of(40), concurrency=4)
        task = asyncio.ensure_future(to_its_end(job))
        await until(lambda: is_open(job))
        await client.aclose()
        with pytest.raises(ClientStateError):
            await task

    assert job.report.counts[Disposition.UNCONFIRMED] >= 4


async def to_its_end(job: CancelJob[Any]) -> None:
    await job


@pytest.mark.slow
async def test_an_exception_of_the_producer_is_raised_after_the_outage() -> None:
    def broken() -> Iterator[str]:
        yield from ids_of(6)
        raise ZeroDivisionError

    async with switched() as (switch, client):
        switch.away = reset
        asyncio.get_running_loop().call_later(0.6, setattr, switch, "away", None)
        job = client.splits.cancel_many(broken(), concurrency=8)
        with pytest.raises(ZeroDivisionError):
            await job

    assert job.report.counts == {"cancelled": 6}


@pytest.mark.slow
async def test_a_run_accepted_by_a_probe_is_followed() -> None:
    going, over = {**BARE_SPLIT, "status": "in_progress"}, BARE_SPLIT
    steps = [reply(b"", 503)] * 4 + [reply(going), reply(over)]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(["splt_7Qd2mK9xVw"], wait=True)

    assert report.counts == {"cancelled": 1}


async def test_an_unexpected_exception_while_following_a_run_keeps_the_cancel_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wait(_: Waiter[Any], run_id: str, *, timeout: float) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Waiter, "wait", wait)
    steps = [reply(b"", 503)] * 3 + [reply({**BARE_SPLIT, "status": "in_progress"})]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"], wait=True))

    assert (outcome.disposition, type(outcome.error)) == ("accepted", ZeroDivisionError)


async def test_an_untrusted_certificate_is_no_outage() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with raw_server(ok, ssl=context) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(20), concurrency=4)

    assert report.counts == {"unconfirmed": 20}
    assert {outcome.attempts for outcome in report.failures} == {1}


async def test_a_probe_with_a_final_response_has_its_outcome() -> None:
    steps = [reply(b"", 503)] * 3 + [reply({"detail": "no such run"}, 404)]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(["splt_1"])

    assert report.counts == {"not_found": 1}


@pytest.mark.parametrize("phase", ["held", "probing"])
async def test_leaving_a_job_in_an_outage_leaves_no_task_and_no_connection(phase: str) -> None:
    async with switched() as (switch, client):
        switch.away = reset
        async with client.splits.cancel_many(ids_of(100), concurrency=8) as job:
            await until(lambda: is_open(job))
            if phase == "probing":
                switch.away = stall
                sent = len(switch.server.requests)
                await until(lambda: len(switch.server.requests) > sent)

        assert workers() == []
        assert connections_in_use(client) == 0


def test_probe_intervals_grow_within_the_outage_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    breaker = CircuitBreaker(8.0, draw=lambda _, most: most)
    error = APIConnectionError("lost", method="POST", url="/v1/x")
    for _ in range(3):
        breaker.on_failure(error, 1)
    pauses = []
    while not breaker.is_expired:
        pauses.append(breaker.probe_delay())
        now += breaker.probe_delay()
        breaker.start_probe()

    assert [round(pause, 3) for pause in pauses] == [0.25, 0.375, 0.562, 0.844, 1.266, 1.5, 1.5, 1.5, 0.203]
    assert time.monotonic() == now


async def test_failures_before_an_idle_period_do_not_expire_the_outage_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    breaker = CircuitBreaker(8.0)
    error = APIConnectionError("lost", method="POST", url="/v1/x")
    breaker.on_failure(error, 1)
    breaker.on_failure(error, 1)
    now += 1000.0
    breaker.on_failure(error, 1)

    async with breaker.probe_turn() as is_due:
        assert is_due
    async with breaker.probe_turn() as is_due:
        assert not is_due
    assert breaker.state is CircuitState.GIVEN_UP


def test_retry_after_delays_a_probe_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    breaker = CircuitBreaker(60.0)
    details: dict[str, Any] = {"status_code": 503, "method": "POST", "url": "/v1/x"}
    for asked in (1.0, 2.0, 30.0):
        breaker.on_failure(InternalServerError("busy", retry_after=asked, **details), 1)

    assert breaker.probe_delay() == 5.0


def test_probe_timeout_follows_the_last_latency() -> None:
    assert [probe_timeout(took) for took in (None, 0.01, 0.8, 4.0)] == [5.0, 1.75, 3.2, 5.0]


@pytest.mark.slow
async def test_a_huge_number_of_attempts_does_not_overflow() -> None:
    policy = RetryPolicy(attempts=3000, wait_initial=0.0001, wait_max=0.0002)
    async with switched("splt_3", retry=policy) as (switch, client):
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_3"], outage_timeout=1))

    assert outcome.disposition == "unconfirmed"
    assert switch.sends["splt_3"] == outcome.attempts
