"""The client: its settings, its copies, and closing it."""

import asyncio
import gc
import logging
import ssl
import warnings
from typing import Any

import aiohttp
import pytest
from clients import ONCE, QUICK, client_for, user_session
from payloads import BARE_SPLIT, KEY, SPLIT_ID
from raw_server import close_early, raw_server, reply, reset, stall, until, unused_port

from retab_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncRetab,
    ClientStateError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    Totals,
    __version__,
)

ok = reply(BARE_SPLIT)


# Settings


async def test_key_and_base_url_default_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(ok) as server:
        monkeypatch.setenv("RETAB_API_KEY", "from-the-environment")
        monkeypatch.setenv("RETAB_API_BASE_URL", server.url)
        async with AsyncRetab() as client:
            await client.splits.cancel(SPLIT_ID)

        assert server.requests[0].headers["api-key"] == "from-the-environment"


async def test_user_agent_suffix_is_sent() -> None:
    async with raw_server(ok) as server, client_for(server.url, user_agent="billing/2.1") as client:
        await client.splits.cancel(SPLIT_ID)

        assert server.requests[0].headers["user-agent"] == f"retab-async/{__version__} billing/2.1"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"api_key": None}, "no API key"),
        ({"bearer_token": KEY}, "not both"),
        ({"base_url": "http://api.retab.com"}, "must use https"),
        ({"timeout": 0}, "timeout must be"),
        ({"max_connections": 0}, "max_connections must be"),
        ({"proxy": "proxy.test"}, "proxy must be"),
        ({"user_agent": ""}, "user_agent must be"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        AsyncRetab(**{"api_key": KEY} | settings)


def test_client_can_be_created_outside_an_event_loop() -> None:
    port = unused_port()
    client = client_for(f"http://127.0.0.1:{port}", retry=ONCE)

    async def use() -> None:
        async with client:
            with pytest.raises(APIConnectionError, match=f"127.0.0.1:{port}"):
                await client.splits.cancel(SPLIT_ID)

    asyncio.run(use())


async def test_repr_shows_the_base_url_and_no_secret() -> None:
    async with AsyncRetab(KEY, base_url="https://eu.test/v1", proxy="http://user:word@proxy.test") as client:
        assert repr(client) == "<AsyncRetab https://eu.test timeout=15 open>"

    assert repr(client) == "<AsyncRetab https://eu.test timeout=15 closed>"


async def test_client_without_valid_settings_has_a_repr() -> None:
    assert repr(AsyncRetab.__new__(AsyncRetab)) == "<AsyncRetab not configured>"


def test_library_logger_has_a_null_handler() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("retab_async").handlers)


async def test_copy_of_a_subclass_keeps_its_attributes() -> None:
    class Named(AsyncRetab):
        name = ""

    async with Named(KEY) as client:
        client.name = "of a team"
        copy = client.with_options(timeout=3)

        assert isinstance(copy, Named)
        assert copy.name == "of a team"


async def test_trace_configs_are_called_for_every_attempt() -> None:
    heard: list[str] = []

    async def on_start(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        heard.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    async with raw_server(reply(b"", 503), ok) as server, client_for(server.url, trace_configs=[trace]) as client:
        await client.splits.cancel(SPLIT_ID)
        await client.splits.get(SPLIT_ID)

    assert heard == ["POST", "POST", "GET"]


# The user's session


async def test_user_session_is_used_and_left_open() -> None:
    async with raw_server(ok) as server, user_session(headers={"X-Of-Mine": "1"}) as session:
        async with client_for(server.url, session=session) as client:
            run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"
        assert server.requests[0].headers["x-of-mine"] == "1"
        assert not session.closed


async def test_closed_user_session_raises_a_client_state_error() -> None:
    session = user_session()
    await session.close()
    async with AsyncRetab(KEY, session=session) as client:
        with pytest.raises(ClientStateError, match="session that this client was given is closed"):
            await client.splits.cancel(SPLIT_ID)


async def test_user_session_closed_later_raises_a_client_state_error() -> None:
    session = user_session()
    async with raw_server(ok) as server, client_for(server.url, session=session) as client:
        await client.splits.cancel(SPLIT_ID)
        await session.close()
        with pytest.raises(ClientStateError, match="is closed"):
            await client.splits.cancel(SPLIT_ID)


@pytest.mark.parametrize(
    "settings", [{"ssl": False}, {"ssl": ssl.create_default_context()}, {"trace_configs": [aiohttp.TraceConfig()]}]
)
async def test_session_settings_beside_a_user_session_are_rejected(settings: dict[str, Any]) -> None:
    async with user_session() as session:
        with pytest.raises(ConfigurationError, match="belong to the session that you pass"):
            AsyncRetab(KEY, session=session, **settings)


@pytest.mark.parametrize("breaks", [reset, close_early], ids=["reset", "closed"])
async def test_closed_keep_alive_socket_of_a_user_session_is_retried(breaks: Any) -> None:
    async with raw_server(ok, breaks, ok) as server, user_session() as session:
        async with client_for(server.url, session=session, retry=ONCE) as client:
            await client.splits.cancel(SPLIT_ID)
            run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"


# Copies


async def test_copy_sends_another_key_on_the_same_connections() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        copy = client.with_options(api_key="another-key", user_agent="tenant-7")
        await client.splits.cancel(SPLIT_ID)
        await copy.splits.cancel(SPLIT_ID)
        await client.splits.cancel(SPLIT_ID)

        assert [request.headers["api-key"] for request in server.requests] == [KEY, "another-key", KEY]
        assert [request.headers["user-agent"].rpartition(" ")[2] for request in server.requests] == [
            f"retab-async/{__version__}",
            "tenant-7",
            f"retab-async/{__version__}",
        ]
        assert server.connections == 1


async def test_copy_with_a_bearer_token_sends_no_key() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        await client.with_options(bearer_token="a-token").partitions.cancel("prtn_1")

        assert server.requests[0].headers["authorization"] == "Bearer a-token"
        assert "api-key" not in server.requests[0].headers


async def test_copy_has_its_own_timeout_and_retry_policy() -> None:
    async with raw_server(stall) as server, client_for(server.url) as client:
        with pytest.raises(APITimeoutError, match=r"within 0\.05 s") as caught:
            await client.with_options(timeout=0.05, retry=ONCE).splits.cancel(SPLIT_ID)

        assert caught.value.attempts == 1
        assert repr(client).endswith("timeout=5 open>")


async def test_copy_keeps_settings_that_are_not_given() -> None:
    async with raw_server(reply(b"", 503)) as server, client_for(server.url, retry=RetryPolicy(attempts=1)) as client:
        copy = client.with_options(timeout=1).with_options(user_agent="a")
        with pytest.raises(InternalServerError) as caught:
            await copy.splits.cancel(SPLIT_ID)

        assert caught.value.attempts == 1
        assert server.requests[0].headers["api-key"] == KEY
        assert repr(copy).endswith("timeout=1 open>")


async def test_copies_with_one_key_share_throttle_and_budget() -> None:
    async with client_for("http://127.0.0.1:9") as client:
        first = client.with_options(api_key="tenant-key-1")
        again = client.with_options(api_key="tenant-key-1", timeout=1).with_options(user_agent="a")
        other = client.with_options(api_key="tenant-key-2")
        bearer = client.with_options(bearer_token="tenant-key-1")

        assert first._throttle is again._throttle
        assert len({id(each._throttle) for each in (client, first, other, bearer)}) == 4
        assert client.with_options(api_key=KEY)._throttle is client._throttle


async def test_pause_of_a_key_outlives_the_copies_with_it() -> None:
    """As in a web application that makes a copy for each request."""
    refused = reply(b"", 429, {"Retry-After": "1.5"})
    async with raw_server(refused, ok) as server, client_for(server.url, retry=ONCE) as client:
        loop = asyncio.get_running_loop()
        with pytest.raises(RateLimitError):
            await client.with_options(api_key="tenant-key-1").splits.cancel(SPLIT_ID)
        refused_at = loop.time()
        gc.collect()
        start = loop.time()
        await client.with_options(api_key="tenant-key-2").splits.cancel(SPLIT_ID)
        assert loop.time() - start < 1
        await client.with_options(api_key="tenant-key-1").splits.cancel(SPLIT_ID)

        assert server.requests[2].headers["api-key"] == "tenant-key-1"
        assert loop.time() - refused_at >= 1.4


async def test_throttles_of_keys_that_are_gone_are_released() -> None:
    refused = reply(b"", 429, {"Retry-After": "0.01"})
    async with raw_server(refused) as server, client_for(server.url, retry=ONCE) as client:
        for number in range(20):
            with pytest.raises(RateLimitError):
                await client.with_options(api_key=f"tenant-key-{number}").splits.cancel(SPLIT_ID)
        await asyncio.sleep(0.02)
        client.with_options(timeout=1)
        gc.collect()

        assert client.totals().credentials == 1


async def test_totals_are_those_of_all_keys_in_use() -> None:
    async with raw_server(reply(b"", 429), ok) as server, client_for(server.url, retry=ONCE) as client:
        copy = client.with_options(api_key="tenant-key-1")
        with pytest.raises(RateLimitError):
            await client.splits.cancel(SPLIT_ID)
        await copy.splits.cancel(SPLIT_ID)

        assert client.totals() == copy.totals() == Totals(credentials=2, in_flight=0, sent=2, throttled=1)
        assert (client.stats().sent, copy.stats().sent) == (1, 1)


async def test_closing_a_copy_closes_nothing() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        async with client.with_options(timeout=1) as copy:
            await copy.splits.cancel(SPLIT_ID)
        await copy.aclose()
        await copy.splits.cancel(SPLIT_ID)
        await client.splits.cancel(SPLIT_ID)

        assert server.connections == 1


async def test_closing_the_original_closes_its_copies() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        copy = client.with_options(timeout=1)
        await client.aclose()

        assert repr(copy).endswith("closed>")
        with pytest.raises(ClientStateError, match="this client is closed"):
            await copy.splits.cancel(SPLIT_ID)


async def test_copy_of_a_subclass_has_its_class() -> None:
    class Ours(AsyncRetab):
        pass

    async with Ours(KEY) as client:
        assert type(client.with_options(timeout=1)) is Ours


@pytest.mark.parametrize(
    ("settings", "problem"), [({"api_key": KEY, "bearer_token": KEY}, "not both"), ({"timeout": -1}, "timeout")]
)
async def test_invalid_settings_of_a_copy_are_rejected(settings: dict[str, Any], problem: str) -> None:
    async with AsyncRetab(KEY) as client:
        with pytest.raises(ConfigurationError, match=problem):
            client.with_options(**settings)


# Closing


async def test_call_on_a_closed_client_raises_a_client_state_error() -> None:
    async with raw_server(ok) as server:
        async with client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)

        assert repr(client).endswith("closed>")
        for call in (client.splits.cancel(SPLIT_ID), client.partitions.get("prtn_1")):
            with pytest.raises(ClientStateError, match=r"this client is closed: make a new AsyncRetab"):
                await call


async def test_unused_client_can_be_closed() -> None:
    client = AsyncRetab(KEY)
    await client.aclose()

    with pytest.raises(ClientStateError, match="this client is closed"):
        await client.splits.cancel(SPLIT_ID)


async def test_client_can_be_closed_twice() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        await client.splits.cancel(SPLIT_ID)
        await client.aclose()
        await client.aclose()

        assert repr(client).endswith("closed>")


async def test_aclose_closes_the_connections() -> None:
    async with raw_server(ok) as server:
        async with client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            assert len(server.open) == 1

        await until(lambda: not server.open)


async def test_error_inside_the_block_propagates_and_the_client_is_closed() -> None:
    async with raw_server(reply({"detail": "Split not found"}, 404)) as server:
        with pytest.raises(NotFoundError, match="Split not found"):
            async with client_for(server.url) as client:
                await client.splits.cancel(SPLIT_ID)

    assert repr(client).endswith("closed>")


@pytest.mark.parametrize("method", ["cancel", "get"])
async def test_aclose_ends_calls_in_flight_with_a_client_state_error(method: str) -> None:
    async with raw_server(stall) as server, client_for(server.url) as client:
        call = asyncio.create_task(getattr(client.splits, method)(SPLIT_ID))
        await server.asked.wait()
        await client.aclose()

        with pytest.raises(ClientStateError, match="closed while a call was under way"):
            await call
        assert len(server.requests) == 1


async def test_aclose_ends_calls_that_wait_for_a_connection() -> None:
    async with raw_server(stall) as server, client_for(server.url, max_connections=1) as client:
        calls = [asyncio.create_task(client.splits.cancel(f"splt_{number}")) for number in range(3)]
        await server.asked.wait()
        await client.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)

        assert [type(outcome) for outcome in outcomes] == [ClientStateError] * 3


async def test_aclose_ends_calls_that_wait_for_a_retry() -> None:
    async with raw_server(reply(b"", 503, {"Retry-After": "0.2"})) as server, client_for(server.url) as client:
        call = asyncio.create_task(client.splits.cancel(SPLIT_ID))
        await server.asked.wait()
        await asyncio.sleep(0.05)
        await client.aclose()

        with pytest.raises(ClientStateError, match="this client is closed"):
            await call
        assert len(server.requests) == 1


def test_client_belongs_to_the_event_loop_of_its_first_use() -> None:
    async def opened() -> AsyncRetab:
        async with raw_server(ok) as server:
            client = client_for(server.url)
            await client.splits.cancel(SPLIT_ID)
            # Or its connections would be torn down with the loop, and asyncio would complain.
            await client._pool.session().close()
            return client

    async def used_elsewhere(client: AsyncRetab) -> None:
        with pytest.raises(ClientStateError, match=r"another event loop: make one AsyncRetab inside each asyncio.run"):
            await client.splits.cancel(SPLIT_ID)
        await client.aclose()

    client = asyncio.run(opened())
    asyncio.run(used_elsewhere(client))

    assert repr(client).endswith("closed>")


def _warnings_of_a_client_never_closed(*, used: bool) -> list[str]:
    async def forget() -> None:
        async with raw_server(ok) as server:
            client = client_for(server.url)
            if used:
                await client.splits.cancel(SPLIT_ID)
            del client
            gc.collect()
            await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(forget())
        gc.collect()
        messages: list[str] = []
        # A warning holds on to its source: with ours goes aiohttp's session, then its connector, which warn in turn.
        while caught:
            messages += [str(warning.message) for warning in caught if warning.category is ResourceWarning]
            caught.clear()
            gc.collect()
    return messages


def test_client_that_is_never_closed_causes_a_resource_warning() -> None:
    assert "an AsyncRetab was never closed: use `async with`, or `await client.aclose()`" in (
        _warnings_of_a_client_never_closed(used=True)
    )


def test_unused_client_that_is_never_closed_causes_a_resource_warning() -> None:
    assert _warnings_of_a_client_never_closed(used=False) == [
        "an AsyncRetab was never closed: use `async with`, or `await client.aclose()`"
    ]


def test_client_with_rejected_settings_causes_no_resource_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ConfigurationError):
            AsyncRetab(KEY, max_connections=0)
        gc.collect()

    assert caught == []


async def test_client_on_a_user_session_causes_no_resource_warning() -> None:
    async with raw_server(ok) as server, user_session() as session:
        client = client_for(server.url, session=session, retry=QUICK)
        await client.splits.cancel(SPLIT_ID)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()

    assert [warning for warning in caught if "AsyncRetab" in str(warning.message)] == []
