"""The throttle of real calls: shared Retry-After, retry budget, and the transport of bulk jobs."""

import asyncio
import logging
import time
from math import inf
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
from retab_async.protocol import cancel_request
from retab_async.transport import BulkTransport

OK = reply(BARE_SPLIT)
CANCEL = cancel_request("/v1/splits", SPLIT_ID, None)
ONCE = RetryPolicy(attempts=1)


def bulk_transport_of(client: AsyncRetab, at_once: int = 8, rate_limit: RateLimit | None = None) -> BulkTransport:
    return client.splits._api.transport.for_bulk(at_once, rate_limit)


class TestSingleCalls:
    async def test_a_retry_after_of_one_call_delays_all_calls(self) -> None:
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

    async def test_a_cleanup_cancel_passes_the_queue(self) -> None:
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

    async def test_another_key_has_its_own_throttle(self) -> None:
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

    async def test_a_retry_after_past_the_deadline_fails_other_calls_immediately(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "3600"})) as server,
            client_for(server.url) as client,
        ):
            with pytest.raises(RateLimitError) as throttled:
                await client.splits.cancel(SPLIT_ID)
            with pytest.raises(APITimeoutError, match="takes no more requests before the deadline") as late:
                await client.splits.cancel(SPLIT_ID)

            assert (throttled.value.attempts, late.value.attempts, late.value.transient) == (1, 0, False)
            assert len(server.requests) == 1
            assert connections_in_use(client) == 0
            assert all(client._pool.slots.try_acquire() for _ in range(100))

    async def test_a_503_with_retry_after_closes_the_gate_and_is_no_429(self) -> None:
        async with (
            raw_server(reply(b"{}", 503, {"Retry-After": "0.2"}), OK) as server,
            client_for(server.url) as client,
        ):
            await client.splits.cancel(SPLIT_ID)

            stats = client.stats()
            assert (stats.sent, stats.throttled, stats.rate, stats.in_flight) == (2, 0, None, 0)
            assert stats.retry_tokens == 496
            assert stats.latency_p50 is not None

    @pytest.mark.parametrize(("status", "headers"), [(404, {}), (500, {}), (429, {}), (429, {"Retry-After": "1"})])
    async def test_a_log_handler_that_raises_costs_no_slot_of_a_limit(
        self,
        status: int,
        headers: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        class LogError(Exception):
            """What the handler raises."""

        def fail(record: logging.LogRecord) -> bool:
            raise LogError(record)

        logger = logging.getLogger("retab_async")
        async with (
            raw_server(reply(b"{}", status, headers), OK) as server,
            client_for(server.url, retry=ONCE, rate_limit=RateLimit(2, per=0.05)) as client,
        ):
            with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG, logger.name):
                patch.setattr(logger, "filters", [fail])
                with pytest.raises(LogError):
                    await client.splits.cancel(SPLIT_ID)
            given = client.splits._api.transport._throttle.given

            assert given is not None
            assert client.stats().in_flight == 0
            assert connections_in_use(client) == 0
            # A request that was counted as finished twice would leave a slot too many.
            given.start()
            given.start()
            assert given.seconds_until_free(time.monotonic() + 1) == inf

    async def test_a_call_that_waits_for_its_turn_can_be_cancelled(self) -> None:
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


class TestRetryBudget:
    async def test_is_spent_by_retries_and_then_failures_are_raised(self) -> None:
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


class TestBulkSends:
    async def test_a_throttled_send_is_repeated_uncounted(self, caplog: pytest.LogCaptureFixture) -> None:
        busy = reply(b"{}", 429)
        async with raw_server(busy, busy, busy, busy, busy, OK) as server, client_for(server.url) as client:
            response = await bulk_transport_of(client).send(CANCEL)

            assert (response.status, response.attempts) == (200, 1)
            assert len(server.requests) == 6
            assert client.stats().retry_tokens == 500
            assert client.stats().concurrency_limit < 8
            warnings = [record for record in caplog.records if record.levelname == "WARNING"]
            assert [(vars(each)["run_id"], vars(each)["status_code"]) for each in warnings] == [(SPLIT_ID, 429)] * 5
            assert "attempt 1 of 4, again because the API throttles, in " in warnings[0].getMessage()

    @pytest.mark.parametrize(
        ("step", "error", "limit"),
        [
            (reply(b"{}", 500), InternalServerError, 8),
            (reply(b"{}", 404), NotFoundError, 8),
            (reset, APIConnectionError, 5),
            (stall, APITimeoutError, 5),
        ],
    )
    async def test_any_other_failure_is_raised_after_one_attempt(
        self, step: Any, error: type[Exception], limit: int
    ) -> None:
        async with raw_server(step) as server, client_for(server.url, timeout=0.2) as client:
            transport = bulk_transport_of(client)
            with pytest.raises(error):
                await transport.send(CANCEL)

            assert len(server.requests) == 1
            assert client.stats().concurrency_limit == limit
            assert client._throttle.concurrency.in_flight == 0
            assert client.stats().in_flight == 0

    async def test_a_send_that_never_left_does_not_shrink_the_window(self) -> None:
        async with (
            raw_server(reply(b"{}", 429, {"Retry-After": "3600"})) as server,
            client_for(server.url, retry=ONCE) as client,
        ):
            with pytest.raises(RateLimitError):
                await client.splits.cancel(SPLIT_ID)
            transport = client.splits._api.transport.for_bulk(8, outage_timeout=1.0)
            with pytest.raises(APITimeoutError, match="takes no more requests"):
                await transport.send(CANCEL)

            assert len(server.requests) == 1
            assert client.stats().concurrency_limit == 8
            assert client._throttle.concurrency.in_flight == 0

    async def test_bulk_sends_take_window_slots_and_single_calls_do_not(self) -> None:
        async with raw_server(stall) as server, client_for(server.url) as client:
            transport = bulk_transport_of(client, at_once=64)
            many = [asyncio.create_task(transport.send(CANCEL)) for _ in range(20)]
            await until(lambda: len(server.requests) == 8)
            single = asyncio.create_task(client.splits.get(SPLIT_ID))
            await until(lambda: len(server.requests) == 9)
            for task in (*many, single):
                task.cancel()
            await asyncio.wait([*many, single])

            assert client._throttle.concurrency.in_flight == 0
            assert client.stats().in_flight == 0
            assert connections_in_use(client) == 0

    async def test_bulk_sends_wait_for_a_connection_without_a_deadline(self) -> None:
        async with raw_server(OK) as server, client_for(server.url, max_connections=1) as client:
            transport = bulk_transport_of(client)
            await asyncio.gather(*(transport.send(CANCEL) for _ in range(20)))

            assert server.connections == 1
            assert len(server.requests) == 20

    async def test_a_given_rate_limit_is_kept(self) -> None:
        async with (
            Emulator(rate_limit=Enforced(5, per=0.3)) as emulator,
            client_for(emulator.url, api_key=emulator.api_key) as client,
        ):
            ids = emulator.seed("splits", 15)
            transport = bulk_transport_of(client, 8, RateLimit(5, per=0.3))
            begun = time.monotonic()
            requests = [cancel_request("/v1/splits", run_id, None) for run_id in ids]
            await asyncio.gather(*map(transport.send, requests))

            assert time.monotonic() - begun >= 0.6
            assert client.stats().throttled == 0
