"""Connections, timeouts and bodies on real sockets: what does not fit into the table of `test_faults`."""

import asyncio
import gzip
import json
import logging
import socket
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import pytest
from clients import ONCE, QUICK, client_for, connections_in_use, user_session
from payloads import BARE_SPLIT, FULL_SPLIT, SPLIT_ID
from raw_server import (
    Wire,
    close_early,
    message,
    raw_server,
    reply,
    reset,
    say_and_stall,
    stall,
    until,
)

from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncRetab,
    ConfigurationError,
    InternalServerError,
    ResponseError,
    RetryPolicy,
    Split,
)

pytestmark = pytest.mark.usefixtures("connection_path")

MIB = 1024 * 1024

Call = Callable[[AsyncRetab], Awaitable[Split]]


@pytest.fixture(params=["POST", "GET"])
def call(request: pytest.FixtureRequest) -> Call:
    """One call of each method: aiohttp handles lost connections differently for them."""
    if request.param == "POST":
        return lambda client: client.splits.cancel(SPLIT_ID)
    return lambda client: client.splits.get(SPLIT_ID)


ok = reply(BARE_SPLIT)
bad_gateway = reply(b"", 502)


# Connections


async def test_a_resend_on_a_new_socket_is_the_last(call: Call) -> None:
    async with raw_server(ok, close_early) as server, client_for(server.url, retry=ONCE) as client:
        await call(client)
        with pytest.raises(APIConnectionError) as caught:
            await call(client)

        assert caught.value.attempts == 1
        assert len(server.requests) == 3


async def test_the_response_to_a_resend_belongs_to_the_same_attempt(call: Call) -> None:
    async with raw_server(ok, close_early, reply(b"", 500)) as server, client_for(server.url, retry=ONCE) as client:
        await call(client)
        with pytest.raises(InternalServerError) as caught:
            await call(client)

        assert caught.value.attempts == 1
        assert len(server.requests) == 3


async def test_many_closed_kept_alive_sockets_cost_no_attempt() -> None:
    answered_once: set[object] = set()

    async def once_a_connection(wire: Wire) -> None:
        # All are answered together, or the first to be free would serve the rest.
        if wire.writer in answered_once:
            await reset(wire)
            return
        answered_once.add(wire.writer)
        if len(answered_once) <= 8:
            await until(lambda: len(answered_once) >= 8)
        await ok(wire)

    async with raw_server(once_a_connection) as server, client_for(server.url, retry=ONCE) as client:
        await asyncio.gather(*(client.splits.cancel(f"splt_{number}") for number in range(8)))
        run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"
        assert server.connections == 9


async def test_a_resend_is_counted_and_logged(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "retab_async")
    async with raw_server(ok, close_early, ok) as server, client_for(server.url, retry=ONCE) as client:
        await call(client)
        before = client.stats()
        await call(client)
        stats = client.stats()

        assert (before.sent, before.resent) == (1, 0)
        assert (stats.sent, stats.resent) == (2, 1)
        assert len(server.requests) == stats.sent + stats.resent
        (line,) = [message for message in caplog.messages if "uncounted" in message]
        assert "attempt 1: sent 1 times more, uncounted: the server had closed a kept-alive connection" in line
        assert line.startswith(f"{server.requests[1].method} /v1/splits/{SPLIT_ID}")


async def test_a_lost_connection_in_a_users_session_is_resent_once() -> None:
    async with raw_server(close_early) as server, user_session() as session:
        client = client_for(server.url, session=session, retry=ONCE)
        with pytest.raises(APIConnectionError):
            await client.splits.cancel(SPLIT_ID)

        assert len(server.requests) == 2


async def test_a_resend_has_only_the_remaining_time_of_its_attempt(call: Call) -> None:
    async def close_late(wire: Any) -> None:
        await asyncio.sleep(0.2)
        wire.writer.close()

    async with raw_server(ok, close_late, stall) as server, client_for(server.url, retry=ONCE, timeout=0.3) as client:
        await call(client)
        began = time.monotonic()
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.3 s"):
            await call(client)

        # Twice the timeout would be 0.5: the 0.2 until the socket was closed and 0.3 anew.
        assert time.monotonic() - began < 0.45
        assert len(server.requests) == 3


async def test_an_idle_socket_that_was_closed_is_not_reused(call: Call) -> None:
    async with raw_server(ok) as server, client_for(server.url, retry=ONCE) as client:
        await call(client)
        await server.hang_up()
        run = await call(client)

        assert run.status == "cancelled"
        assert server.connections == 2
        assert len(server.requests) == 2


async def test_one_connection_serves_many_calls() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        for _ in range(3):
            await client.splits.cancel(SPLIT_ID)
            await client.splits.get(SPLIT_ID)

        assert server.connections == 1


# Timeouts


async def test_a_stalled_response_ends_with_the_timeout_of_the_attempt(call: Call) -> None:
    async with (
        raw_server(stall) as server,
        client_for(server.url, timeout=0.25, retry=RetryPolicy(attempts=2)) as client,
    ):
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.25 s") as caught:
            await call(client)

        assert caught.value.attempts == 2
        assert len(server.requests) == 2


async def test_the_deadline_bounds_attempts_and_waits_together(call: Call) -> None:
    policy = RetryPolicy(attempts=1000, wait_initial=0.01, wait_max=0.02, deadline=1.2)
    async with raw_server(stall) as server, client_for(server.url, timeout=0.8, retry=policy) as client:
        began = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            await call(client)

        # Two attempts of the full timeout would be 1.6.
        assert time.monotonic() - began < 1.55
        assert caught.value.attempts == 2
        assert len(server.requests) == 2


async def test_a_deadline_shorter_than_the_timeout_ends_the_first_attempt(call: Call) -> None:
    async with raw_server(stall) as server, client_for(server.url, retry=RetryPolicy(deadline=0.5)) as client:
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.\d+ s") as caught:
            await call(client)

        assert caught.value.attempts == 1
        assert len(server.requests) == 1


async def test_the_connection_is_free_while_a_call_waits_for_its_retry(call: Call) -> None:
    asked = reply(b"", 503, {"Retry-After": "0.4"})
    async with raw_server(asked, ok) as server, client_for(server.url) as client, asyncio.TaskGroup() as group:
        waiting = group.create_task(_run(call(client)))
        await server.asked.wait()
        await asyncio.sleep(0.1)

        assert not waiting.done()
        assert connections_in_use(client) == 0

        await waiting
        assert server.connections == 1


async def _run(call: Awaitable[Split]) -> Split:
    return await call


async def test_max_connections_bounds_the_open_sockets() -> None:
    most = 0

    async def watched(wire: Any) -> None:
        nonlocal most
        most = max(most, len(server.open))
        await asyncio.sleep(0.01)
        await ok(wire)

    async with raw_server(watched) as server, client_for(server.url, max_connections=3) as client:
        await asyncio.gather(*(client.splits.cancel(f"splt_{number}") for number in range(20)))

        assert most == 3
        assert server.connections == 3
        assert len(server.requests) == 20


async def test_the_wait_for_a_free_connection_does_not_count_towards_the_timeout() -> None:
    async def slow(wire: Wire) -> None:
        await asyncio.sleep(0.15)
        await ok(wire)

    settings: dict[str, Any] = {"max_connections": 1, "timeout": 0.4, "retry": ONCE}
    async with raw_server(slow) as server, client_for(server.url, **settings) as client:
        runs = await asyncio.gather(*(client.splits.cancel(f"splt_{number}") for number in range(4)))

        assert [run.status for run in runs] == ["cancelled"] * 4
        assert server.connections == 1


async def test_the_wait_for_a_free_connection_ends_with_the_deadline() -> None:
    async with raw_server(stall) as server, client_for(server.url, max_connections=1) as client:
        first = asyncio.create_task(_run(client.splits.cancel("splt_1")))
        await server.asked.wait()
        with pytest.raises(APITimeoutError, match="no connection came free") as caught:
            await client.with_options(retry=RetryPolicy(deadline=0.1)).splits.cancel("splt_2")
        first.cancel()
        await asyncio.wait({first})

        assert caught.value.attempts == 0
        assert len(server.requests) == 1


async def test_a_settling_get_shares_the_deadline_of_its_cancel() -> None:
    async def slow(wire: Wire) -> None:
        await asyncio.sleep(0.2)
        await reply(b"nothing")(wire)

    async with raw_server(slow, stall) as server, client_for(server.url, retry=RetryPolicy(deadline=0.4)) as client:
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.[0-2]"):
            await client.splits.cancel(SPLIT_ID)

        assert [request.method for request in server.requests] == ["POST", "GET"]


# Bodies


def _chunked(body: bytes, size: int) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return message(chunks + b"0\r\n\r\n", headers={"Content-Length": "", "Transfer-Encoding": "chunked"})


async def test_a_chunked_body_is_read_whole() -> None:
    async def slowly(wire: Any) -> None:
        data = _chunked(json.dumps(FULL_SPLIT).encode(), 100)
        for start in range(0, len(data), 150):
            wire.writer.write(data[start : start + 150])
            await wire.writer.drain()
            await asyncio.sleep(0.001)

    async with raw_server(slowly) as server, client_for(server.url) as client:
        run = await client.splits.get(SPLIT_ID)
        again = await client.splits.get(SPLIT_ID)

        assert run.instructions == "One subdocument a vendor."
        assert again == run
        assert server.connections == 1


async def test_a_gzipped_body_is_read_whole() -> None:
    packed = reply(gzip.compress(json.dumps(FULL_SPLIT).encode()), headers={"Content-Encoding": "gzip"})
    async with raw_server(packed) as server, client_for(server.url) as client:
        run = await client.splits.get(SPLIT_ID)

        assert run.instructions == "One subdocument a vendor."
        assert "gzip" in server.requests[0].headers["accept-encoding"]


async def test_a_large_result_is_read_whole() -> None:
    large = FULL_SPLIT | {"instructions": "x" * (5 * MIB)}
    async with raw_server(reply(large)) as server, client_for(server.url) as client:
        run = await client.splits.get(SPLIT_ID)

        assert run.instructions == "x" * (5 * MIB)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """About one megabyte that unpacks to a gigabyte."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * 64


async def test_a_gzip_bomb_as_result_raises_at_64_mib_in_bounded_memory(bomb: bytes) -> None:
    packed = reply(bomb, headers={"Content-Encoding": "gzip", "X-Request-Id": "req_bomb"})
    async with raw_server(packed) as server, client_for(server.url) as client:
        tracemalloc.start()
        try:
            with pytest.raises(ResponseError, match="larger than 67108864 bytes") as caught:
                await client.splits.get(SPLIT_ID)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 384 * MIB
        assert caught.value.request_id == "req_bomb"
        assert len(server.requests) == 1
        assert connections_in_use(client) == 0


async def test_a_gzip_bomb_as_error_is_read_no_further_than_64_kib(bomb: bytes) -> None:
    packed = reply(bomb, 400, {"Content-Encoding": "gzip"})
    async with raw_server(packed) as server, client_for(server.url) as client:
        tracemalloc.start()
        try:
            with pytest.raises(APIError) as caught:
                await client.splits.get(SPLIT_ID)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert len(caught.value.body) == 64 * 1024
        assert peak < 8 * MIB
        assert connections_in_use(client) == 0


@pytest.mark.parametrize("encoding", ["", "gzip"], ids=["plain", "gzip"])
async def test_a_cancel_response_over_1_mib_is_settled_by_one_get(encoding: str) -> None:
    large = json.dumps(BARE_SPLIT | {"instructions": "x" * MIB}).encode()
    response = reply(gzip.compress(large) if encoding else large, headers={"Content-Encoding": encoding})
    async with raw_server(response, ok) as server, client_for(server.url) as client:
        run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"
        assert [(request.method, request.target) for request in server.requests] == [
            ("POST", f"/v1/splits/{SPLIT_ID}/cancel"),
            ("GET", f"/v1/splits/{SPLIT_ID}?include_output=false"),
        ]


async def test_a_cancel_response_of_exactly_1_mib_is_read() -> None:
    blank = len(json.dumps(BARE_SPLIT | {"instructions": ""}))
    exact = BARE_SPLIT | {"instructions": "x" * (MIB - blank)}
    async with raw_server(reply(exact)) as server, client_for(server.url) as client:
        run = await client.splits.cancel(SPLIT_ID)

        assert run.instructions == exact["instructions"]
        assert len(server.requests) == 1


async def test_an_empty_cancel_response_is_settled_by_one_get() -> None:
    async with raw_server(reply(b"", 204, {"Content-Length": ""}), ok) as server, client_for(server.url) as client:
        run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"
        assert [request.method for request in server.requests] == ["POST", "GET"]


PAGE = b"<html><head><title>502 Bad Gateway</title><style>h1 {color: red}</style></head><h1>Bad  Gateway</h1></html>"


async def test_an_html_error_page_gives_a_readable_message(call: Call) -> None:
    page = reply(PAGE, 502, {"Content-Type": "text/html"})
    async with raw_server(page) as server, client_for(server.url) as client:
        with pytest.raises(InternalServerError) as caught:
            await call(client)

        assert caught.value.message == "502 Bad Gateway Bad Gateway"
        assert caught.value.attempts == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [(PAGE, "the answer is not JSON"), (b'{"id": "splt_', "the answer is not JSON"), (b"", "the answer is empty")],
    ids=["HTML", "broken JSON", "nothing"],
)
async def test_a_get_response_that_is_not_json_raises_response_error(body: bytes, reason: str) -> None:
    response = reply(body, headers={"X-Request-Id": "req_7"})
    async with raw_server(response) as server, client_for(server.url) as client:
        with pytest.raises(ResponseError, match=reason) as caught:
            await client.splits.get(SPLIT_ID)

        assert caught.value.body == body.decode()
        assert caught.value.path == ""
        assert caught.value.request_id == "req_7"
        assert caught.value.attempts == 1
        assert len(server.requests) == 1


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_raises_and_is_not_followed(call: Call, status: int) -> None:
    async with raw_server(ok) as target:
        moved = reply(b"", status, {"Location": f"{target.url}/v1/splits/{SPLIT_ID}"})
        async with raw_server(moved) as server, client_for(server.url) as client:
            with pytest.raises(APIError, match="redirect") as caught:
                await call(client)

            assert caught.value.status_code == status
            assert len(server.requests) == 1
            assert target.connections == 0


# TLS


# Names


async def test_a_host_that_cannot_be_resolved_is_retried(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def unknown(_: object, host: str, *args: object, **settings: object) -> None:
        asked.append(host)
        raise OSError(None, "Name or service not known")

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", unknown)
    async with client_for("https://retab.invalid") as client:
        with pytest.raises(APIConnectionError, match=r"name could not be resolved: retab\.invalid:443") as caught:
            await call(client)

        assert caught.value.attempts == 4
        assert caught.value.transient
        assert asked == ["retab.invalid"] * 4


# Proxies


# Sessions of the user


@pytest.mark.parametrize("settings", [{}, {"raise_for_status": True}, {"auto_decompress": False}], ids=str)
async def test_a_users_session_gets_the_needed_options_and_stays_open(settings: dict[str, Any]) -> None:
    packed = reply(gzip.compress(json.dumps(BARE_SPLIT).encode()), headers={"Content-Encoding": "gzip"})
    missing = reply({"detail": "Split not found"}, 404)
    async with raw_server(packed, missing) as server, user_session(**settings) as session:
        client = client_for(server.url, session=session)
        run = await client.splits.cancel(SPLIT_ID)
        with pytest.raises(APIError, match="Split not found"):
            await client.splits.cancel(SPLIT_ID)
        await client.aclose()

        assert run.status == "cancelled"
        assert not session.closed


async def test_a_users_session_is_bounded_by_the_clients_timeout() -> None:
    async with raw_server(stall) as server, user_session() as session:
        client = client_for(server.url, session=session, timeout=0.1, retry=ONCE)
        with pytest.raises(APITimeoutError):
            await client.splits.cancel(SPLIT_ID)


async def test_a_stall_after_an_oversized_error_body_does_not_delay_the_call() -> None:
    endless = say_and_stall(message(b"x" * 70_000, 400, {"Content-Length": "900000"}))
    async with raw_server(endless) as server, client_for(server.url, retry=QUICK) as client:
        with pytest.raises(APIError) as caught:
            await client.splits.cancel(SPLIT_ID)

        assert caught.value.status_code == 400
        assert len(caught.value.body) == 64 * 1024


@pytest.mark.parametrize("limits", [{"limit": 2}, {"limit_per_host": 2}, {"limit": 50, "limit_per_host": 2}], ids=str)
async def test_a_smaller_limit_of_a_users_connector_makes_calls_wait(limits: dict[str, Any]) -> None:
    async def slow(wire: Wire) -> None:
        await asyncio.sleep(0.25)
        await ok(wire)

    connector = aiohttp.TCPConnector(**limits)
    async with raw_server(slow) as server, user_session(connector=connector) as session:
        client = client_for(server.url, session=session, timeout=1, retry=ONCE)
        runs = await asyncio.gather(*(client.splits.cancel(f"splt_{number}") for number in range(10)))

        assert [run.status for run in runs] == ["cancelled"] * 10
        assert server.connections == 2


async def test_an_unlimited_connector_of_a_user_leaves_max_connections_in_force() -> None:
    async with user_session(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = client_for("http://127.0.0.1:9", session=session, max_connections=7)

        assert client._pool.slots._free == 7


async def test_a_users_session_that_keeps_cookies_raises() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match=r"cookie_jar=aiohttp\.DummyCookieJar\(\)"):
            client_for("http://127.0.0.1:9", session=session)


async def test_own_sockets_send_keepalive_probes_after_a_minute() -> None:
    async with raw_server(stall) as server, client_for(server.url) as client:
        call = asyncio.ensure_future(_run(client.splits.cancel(SPLIT_ID)))
        await server.asked.wait()
        connector = client._pool.session().connector
        assert connector is not None
        (protocol,) = connector._acquired
        opened = cast("Any", protocol.transport).get_extra_info("socket")
        alive = opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        name = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
        idle = opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        call.cancel()
        await asyncio.wait([call])

        assert alive
        assert idle == 60
