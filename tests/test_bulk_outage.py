"""Cancelling many runs while the server is away, and when it comes back."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
import trustme
from clients import client_for, connections_in_use, workers
from payloads import BARE_SPLIT
from raw_server import RawServer, Step, Wire, raw_server, reply, reset, stall, until, unused_port

from retab_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncRetab,
    CancelJob,
    CancelOutcome,
    ClientStateError,
    Disposition,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
)
from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState, probe_timeout
from retab_async.polling import Waiter

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


@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY)
@pytest.mark.parametrize("concurrency", [1, 4, 32])
async def test_an_outage_loses_no_id(away: Step, concurrency: int) -> None:
    async with switched() as (switch, client):
        outcomes = []
        async with client.splits.cancel_many(ids_of(300), concurrency=concurrency) as job:
            async for outcome in job:
                outcomes.append(outcome)
                if len(outcomes) == 50:
                    switch.away = away
                    asyncio.get_running_loop().call_later(1.0, setattr, switch, "away", None)

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids_of(300))
    assert {outcome.disposition for outcome in outcomes} == {"cancelled"}
    assert sum(switch.sends.values()) < 300 + 8 * concurrency + 30


async def test_while_the_server_is_away_one_probe_is_sent_at_a_time() -> None:
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


@pytest.mark.parametrize("source", ["list", "generator", "async generator"])
@pytest.mark.parametrize("concurrency", [1, 16])
async def test_in_a_total_outage_ids_are_reported_unsent(source: str, concurrency: int) -> None:
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


@pytest.mark.parametrize("source", ["generator", "async generator"])
async def test_of_ids_without_an_end_no_more_are_taken_when_the_server_stays_away(source: str) -> None:
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


@pytest.mark.parametrize(("status", "told"), [(429, 301), (503, 61)])
@pytest.mark.parametrize("number", [1, 200])
async def test_sent_away_for_longer_than_it_has_patience_a_job_ends_at_once(
    status: int, told: int, number: int
) -> None:
    away = reply(b"", status, {"Retry-After": str(told)})
    async with raw_server(away) as server, client_for(server.url) as client, asyncio.timeout(20):
        report = await client.splits.cancel_many(ids_of(number))

    assert report.counts == {Disposition.UNCONFIRMED: number}
    assert f"Retry-After {told} s" in str(report.failures[0].error)
    assert sum(outcome.attempts for outcome in report.failures) == len(server.requests) < 10


async def test_the_pause_of_a_limit_is_waited_for_though_it_is_longer_than_patience() -> None:
    full = reply(b"", 429, {"Retry-After": "0.5"})
    async with raw_server(full, ok) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(1), outage_timeout=0.1)

    assert report.counts == {Disposition.CANCELLED: 1}
    assert len(server.requests) == 2


async def test_where_another_call_was_sent_away_nothing_of_a_job_is_sent() -> None:
    async with raw_server(reply(b"", 429, {"Retry-After": "3600"})) as server, client_for(server.url) as client:
        with pytest.raises(RateLimitError):
            await client.splits.get("splt_1")
        report = await client.splits.cancel_many(ids_of(50))

    assert report.counts == {Disposition.UNCONFIRMED: 50}
    assert {(outcome.attempts, type(outcome.error)) for outcome in report.failures} == {(0, APITimeoutError)}
    assert len(server.requests) == 1


async def test_a_server_that_only_says_when_to_come_back_is_away() -> None:
    async with raw_server(reply(b"", 503, {"Retry-After": "0.1"})) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(50), outage_timeout=0.5)

    assert report.counts == {Disposition.UNCONFIRMED: 50}
    assert {type(outcome.error) for outcome in report.failures} <= {InternalServerError, APITimeoutError}
    assert len(server.requests) < 30


async def test_a_probe_that_is_told_when_to_come_back_is_one_that_failed() -> None:
    async with switched() as (switch, client), client.splits.cancel_many(ids_of(100), concurrency=4) as job:
        await anext(job)
        switch.away = AWAY["503"]
        await until(lambda: is_open(job))
        switch.away = AWAY["Retry-After"]
        asyncio.get_running_loop().call_later(0.6, setattr, switch, "away", None)
        rest = [outcome.disposition async for outcome in job]

    assert Counter(rest) == {"cancelled": 99}


async def test_one_id_in_an_outage_is_waited_for_too() -> None:
    async with switched() as (switch, client):
        switch.away = reset
        asyncio.get_running_loop().call_later(0.8, setattr, switch, "away", None)
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"]))

    assert outcome.disposition == "cancelled"
    assert outcome.attempts == switch.sends["splt_1"] > 3


@pytest.mark.parametrize("at", [0, 20, 49])
@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_an_id_that_always_fails_is_not_taken_for_an_absent_server(at: int, concurrency: int) -> None:
    ids = ids_of(50)
    bad = ids[at : at + 1]
    async with asyncio.timeout(20), switched(*bad) as (_, client):
        outcomes = await outcomes_of(client.splits.cancel_many(ids, concurrency=concurrency))

    assert sorted(outcome.run_id for outcome in outcomes) == sorted(ids)
    failed = [outcome for outcome in outcomes if outcome.disposition != "cancelled"]
    assert [outcome.run_id for outcome in failed] == bad
    assert failed[0].attempts == 4


async def test_an_id_that_failed_often_enough_is_not_sent_again_for_being_held() -> None:
    policy = RetryPolicy(attempts=3, wait_initial=0.001)
    async with asyncio.timeout(20), switched("splt_1", retry=policy) as (switch, client):
        report = await client.splits.cancel_many(ids_of(3), concurrency=1)

    assert report.counts == {"cancelled": 2, "unconfirmed": 1}
    assert switch.sends["splt_1"] == report.failures[0].attempts == 3


async def test_what_can_be_no_id_is_no_probe() -> None:
    ids: list[Any] = [*ids_of(2), None, 5, *ids_of(2)]
    async with switched() as (switch, client):
        switch.away = reset
        asyncio.get_running_loop().call_later(1.0, setattr, switch, "away", None)
        report = await client.splits.cancel_many(ids, concurrency=2)

    assert report.counts == {"cancelled": 4, "invalid": 2}


async def test_of_an_asynchronous_source_too() -> None:
    async def later() -> AsyncIterator[str]:
        for run_id in ids_of(20):
            await asyncio.sleep(0.01)
            yield run_id

    async with asyncio.timeout(20), switched("splt_3", "splt_4") as (_, client):
        report = await client.splits.cancel_many(later(), concurrency=4)

    assert report.counts == {"cancelled": 18, "unconfirmed": 2}


async def test_an_id_that_comes_while_the_server_is_away_waits_unsent() -> None:
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


async def test_many_ids_that_always_fail_end_with_the_others() -> None:
    bad = ids_of(12)
    async with asyncio.timeout(20), switched(*bad) as (_, client):
        report = await client.splits.cancel_many(ids_of(100), concurrency=12, outage_timeout=10)

    assert report.counts == {"cancelled": 88, "unconfirmed": 12}


async def test_a_server_that_hangs_is_probed_with_less_patience() -> None:
    async with switched(timeout=1) as (switch, client), client.splits.cancel_many(ids_of(100), concurrency=8) as job:
        for _ in range(20):
            await anext(job)
        switch.away = stall
        await until(lambda: is_open(job))
        await asyncio.sleep(0.5)
        switch.away = None
        rest = [outcome.run_id async for outcome in job]

    assert len(set(rest)) == 80


async def test_what_is_wrong_with_the_client_is_not_waited_out() -> None:
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


async def test_a_client_that_was_never_heard_of_is_not_waited_out_either() -> None:
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


async def test_the_producers_exception_waits_for_those_that_are_held() -> None:
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


async def test_runs_are_followed_from_a_probe_on_too() -> None:
    going, over = {**BARE_SPLIT, "status": "in_progress"}, BARE_SPLIT
    steps = [reply(b"", 503)] * 4 + [reply(going), reply(over)]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(["splt_7Qd2mK9xVw"], wait=True)

    assert report.counts == {"cancelled": 1}


async def test_an_unexpected_exception_while_following_a_run_keeps_the_cancel_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_: Waiter[Any], run_id: str, *, timeout: float) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Waiter, "wait", wait)
    steps = [reply(b"", 503)] * 3 + [reply({**BARE_SPLIT, "status": "in_progress"})]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_1"], wait=True))

    assert (outcome.disposition, type(outcome.error)) == ("accepted", ZeroDivisionError)


async def test_a_server_that_is_not_trusted_is_not_waited_for() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with raw_server(ok, ssl=context) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(ids_of(20), concurrency=4)

    assert report.counts == {"unconfirmed": 20}
    assert {outcome.attempts for outcome in report.failures} == {1}


async def test_what_ends_otherwise_in_a_probe_has_its_outcome() -> None:
    steps = [reply(b"", 503)] * 3 + [reply({"detail": "no such run"}, 404)]
    async with raw_server(*steps) as server, client_for(server.url) as client:
        report = await client.splits.cancel_many(["splt_1"])

    assert report.counts == {"not_found": 1}


@pytest.mark.parametrize("phase", ["held", "probing"])
async def test_a_job_that_is_left_in_an_outage_leaves_nothing(phase: str) -> None:
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


def test_probes_come_at_growing_intervals_and_within_patience(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_the_server_asks_for_is_waited_for_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    breaker = CircuitBreaker(60.0)
    told: dict[str, Any] = {"status_code": 503, "method": "POST", "url": "/v1/x"}
    for asked in (1.0, 2.0, 30.0):
        breaker.on_failure(InternalServerError("busy", retry_after=asked, **told), 1)

    assert breaker.probe_delay() == 5.0


def test_a_probe_is_given_the_time_that_answers_take() -> None:
    assert [probe_timeout(took) for took in (None, 0.01, 0.8, 4.0)] == [5.0, 1.75, 3.2, 5.0]


async def test_no_number_of_attempts_is_too_large() -> None:
    policy = RetryPolicy(attempts=3000, wait_initial=0.0001, wait_max=0.0002)
    async with switched("splt_3", retry=policy) as (switch, client):
        (outcome,) = await outcomes_of(client.splits.cancel_many(["splt_3"], outage_timeout=1))

    assert outcome.disposition == "unconfirmed"
    assert switch.sends["splt_3"] == outcome.attempts
