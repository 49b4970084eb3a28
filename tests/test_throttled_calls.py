"""The pace of real calls: what a refusal of one does to the others, the retry budget, bulk work's transport."""

import asyncio
import time
from typing import Any

import pytest
from clients import QUICK, client_for, connections_in_use
from payloads import BARE_SPLIT, SPLIT_ID
from raw_server import raw_server, reply, reset, stall, until

from retab_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncRetab,
    InternalServerError,
    NotFoundError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
)
from retab_async.emulator import Emulator
from retab_async.emulator import RateLimit as Enforced
from retab_async.protocol import Request
from retab_async.transport import BulkTransport

OK = reply(BARE_SPLIT)
CANCEL = Request("POST", f"/v1/splits/{SPLIT_ID}/cancel")
ONCE = RetryPolicy(attempts=1)


def patient_of(client: AsyncRetab, at_once: int = 8, rate_limit: RateLimit | None = None) -> BulkTransport:
    return client.splits._api.transport.for_bulk(at_once, rate_limit)


class TestSingleCalls:
    async def test_a_pause_that_one_was_told_is_kept_by_all(self) -> None:
        async with (
            raw_server(OK, reply(b"{}", 429, {"Retry-After": "0.3"}), OK) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            await client.splits.cancel(SPLIT_ID)
            begun = time.monotonic()
            with pytest.raises(RateLimitError):
                await client.splits.cancel(SPLIT_ID)
            await asyncio.gather(client.splits.get(SPLIT_ID), client.with_options(timeout=3).splits.get(SPLIT_ID))

            assert time.monotonic() - begun >= 0.3
            assert len(server.requests) == 4

    async def test_what_a_block_owes_that_was_left_is_sent_before_what_waits(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "0.2"}), OK) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            with pytest.raises(RateLimitError):
                await client.splits.get(SPLIT_ID)
            others = [asyncio.create_task(client.splits.get(SPLIT_ID)) for _ in range(5)]
            await asyncio.sleep(0.01)
            async with client.splits.attach(SPLIT_ID):
                pass
            await asyncio.gather(*others)

            assert [request.method for request in server.requests] == ["GET", "POST", *["GET"] * 5]

    async def test_another_key_has_a_pace_of_its_own(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "3600"}), OK) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            with pytest.raises(RateLimitError):
                await client.splits.cancel(SPLIT_ID)
            other = client.with_options(api_key="sk_other_0123456789")
            await other.splits.cancel(SPLIT_ID)

            assert (client.stats().throttled, other.stats().throttled) == (1, 0)
            assert client.with_options(retry=QUICK).stats() == client.stats()

    async def test_a_pause_beyond_the_deadline_fails_the_others_at_once(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "3600"})) as server,
            client_for(server.url) as client,
        ):
            with pytest.raises(RateLimitError) as told:
                await client.splits.cancel(SPLIT_ID)
            with pytest.raises(APITimeoutError, match="takes no more requests before the deadline") as late:
                await client.splits.cancel(SPLIT_ID)

            assert (told.value.attempts, late.value.attempts, late.value.transient) == (1, 0, False)
            assert len(server.requests) == 1
            assert connections_in_use(client) == 0
            assert all(client._pool.slots.try_acquire() for _ in range(100))

    async def test_a_503_with_a_pause_closes_the_gate_and_is_no_429(self) -> None:
        async with (
            raw_server(reply(b"{}", 503, {"Retry-After": "0.2"}), OK) as server,
            client_for(server.url) as client,
        ):
            await client.splits.cancel(SPLIT_ID)

            stats = client.stats()
            assert (stats.sent, stats.throttled, stats.rate, stats.in_flight) == (2, 0, None, 0)
            assert stats.retry_tokens == 496
            assert stats.latency_p50 is not None

    async def test_one_that_waits_for_its_turn_can_be_cancelled(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "0.5"}), OK) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            with pytest.raises(RateLimitError):
                await client.splits.cancel(SPLIT_ID)
            first, second = (asyncio.create_task(client.splits.cancel(SPLIT_ID)) for _ in range(2))
            await asyncio.sleep(0.05)
            first.cancel()
            await second

            assert first.cancelled()
            assert len(server.requests) == 2
            assert all(client._pool.slots.try_acquire() for _ in range(100))


class TestTheBudget:
    async def test_is_spent_by_retries_and_then_failures_are_raised_as_they_are(self) -> None:
        async with raw_server(reply(b"{}", 500)) as server, client_for(server.url) as client:
            for _ in range(12):
                with pytest.raises(InternalServerError) as caught:
                    await client.splits.get(SPLIT_ID)

            assert caught.value.attempts == 1
            assert client.stats().retry_tokens == 500 - 28 * 14
            assert len(server.requests) == 12 + 28

            with pytest.raises(InternalServerError) as caught:
                await client.splits.cancel(SPLIT_ID)
            assert caught.value.attempts == 4


class TestPatientSends:
    async def test_one_that_is_refused_for_pace_is_sent_again_uncounted(self) -> None:
        busy = reply(b"{}", 429)
        async with raw_server(busy, busy, busy, busy, busy, OK) as server, client_for(server.url) as client:
            response = await patient_of(client).send(CANCEL)

            assert (response.status, response.attempts) == (200, 1)
            assert len(server.requests) == 6
            assert client.stats().retry_tokens == 500
            assert client.stats().concurrency_limit < 8

    @pytest.mark.parametrize(
        ("step", "error", "limit"),
        [
            (reply(b"{}", 500), InternalServerError, 8),
            (reply(b"{}", 404), NotFoundError, 8),
            (reset, APIConnectionError, 5),
            (stall, APITimeoutError, 5),
        ],
    )
    async def test_whatever_else_goes_wrong_is_raised_after_one_attempt(
        self, step: Any, error: type[Exception], limit: int
    ) -> None:
        async with raw_server(step) as server, client_for(server.url, timeout=0.2) as client:
            patient = patient_of(client)
            with pytest.raises(error):
                await patient.send(CANCEL)

            assert len(server.requests) == 1
            assert client.stats().concurrency_limit == limit
            assert client._throttle.window.in_flight == 0
            assert client.stats().in_flight == 0

    async def test_one_that_was_never_sent_says_nothing_about_the_server(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "3600"})) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            with pytest.raises(RateLimitError):
                await client.splits.cancel(SPLIT_ID)
            patient = client.splits._api.transport.for_bulk(8, outage_timeout=1.0)
            with pytest.raises(APITimeoutError, match="takes no more requests"):
                await patient.send(CANCEL)

            assert len(server.requests) == 1
            assert client.stats().concurrency_limit == 8
            assert client._throttle.window.in_flight == 0

    async def test_they_take_the_windows_slots_and_single_calls_do_not(self) -> None:
        async with raw_server(stall) as server, client_for(server.url) as client:
            patient = patient_of(client, at_once=64)
            many = [asyncio.create_task(patient.send(CANCEL)) for _ in range(20)]
            await until(lambda: len(server.requests) == 8)
            single = asyncio.create_task(client.splits.get(SPLIT_ID))
            await until(lambda: len(server.requests) == 9)
            for task in (*many, single):
                task.cancel()
            await asyncio.wait([*many, single])

            assert client._throttle.window.in_flight == 0
            assert client.stats().in_flight == 0
            assert connections_in_use(client) == 0

    async def test_they_wait_for_a_place_on_the_pool_as_long_as_it_takes(self) -> None:
        async with raw_server(OK) as server, client_for(server.url, max_connections=1) as client:
            patient = patient_of(client)
            await asyncio.gather(*(patient.send(CANCEL) for _ in range(20)))

            assert server.connections == 1
            assert len(server.requests) == 20

    async def test_a_rate_limit_of_their_own_is_kept_to(self) -> None:
        async with (
            Emulator(rate_limit=Enforced(5, per=0.3)) as emulator,
            client_for(emulator.url, api_key=emulator.api_key) as client,
        ):
            ids = emulator.seed("splits", 15)
            patient = patient_of(client, 8, RateLimit(5, per=0.3))
            begun = time.monotonic()
            requests = [Request("POST", f"/v1/splits/{run_id}/cancel") for run_id in ids]
            await asyncio.gather(*map(patient.send, requests))

            assert time.monotonic() - begun >= 0.6
            assert client.stats().throttled == 0
