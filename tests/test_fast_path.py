"""The fast connection path: when it is chosen, and that it behaves as the ClientSession path does."""

import asyncio
import gzip
import os
import ssl
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import trustme
import uvloop
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses
from clients import ONCE, client_for, connections_in_use
from hypothesis import example, given, settings
from hypothesis import strategies as st
from payloads import BARE_SPLIT, FULL_SPLIT, SPLIT_ID
from raw_server import Step, Wire, close_early, message, raw_server, reply, say_and_close, say_and_stall, stall, until
from yarl import URL

from retab_async import APIConnectionError, APITimeoutError, AsyncRetab, RetabError
from retab_async.protocol import Request
from retab_async.transport import wire as wire_module
from retab_async.transport import wire_pool as wire_pool_module
from retab_async.transport.wire_pool import WirePool

ok = reply(BARE_SPLIT)
BODY = f'{{"id":"{SPLIT_ID}","status":"cancelled"}}'.encode()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Record each request of the fast path."""
    sent: list[object] = []
    send = wire_module.Wire.send

    def record(self: wire_module.Wire, *args: Any) -> Any:
        sent.append(args[1])
        return send(self, *args)

    monkeypatch.setattr(wire_module.Wire, "send", record)
    return sent


def session_path(client: AsyncRetab) -> AsyncRetab:
    """Make a client use the ClientSession path."""
    client._pool.session()
    client._pool._wires = None
    return client


class TestSelection:
    async def test_bodyless_requests_take_the_fast_path(self, opened: list[object]) -> None:
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await client.splits.get(SPLIT_ID)
            await client.splits.get(SPLIT_ID, include_output=False)

        assert opened == [
            f"/v1/splits/{SPLIT_ID}/cancel",
            f"/v1/splits/{SPLIT_ID}",
            f"/v1/splits/{SPLIT_ID}?include_output=false",
        ]
        assert server.connections == 1

    async def test_base_url_with_a_path_is_a_prefix_of_the_target(self, opened: list[object]) -> None:
        async with raw_server(ok) as server, client_for(f"{server.url}/proxy/v1/") as client:
            await client.splits.cancel(SPLIT_ID)

        assert opened == [f"/v1/splits/{SPLIT_ID}/cancel"]
        assert server.requests[0].target == f"/proxy/v1/splits/{SPLIT_ID}/cancel"
        assert server.requests[0].target.startswith("/proxy/v1/splits/")

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    async def test_both_paths_send_the_same_headers(self, method: str) -> None:
        seen = []
        async with raw_server(ok) as server:
            for choose in (lambda client: client, session_path):
                async with client_for(server.url) as client:
                    await choose(client).splits._api.transport.send(Request(method, "/v1/x", "a=b"))
                seen.append(server.requests[-1])

        assert seen[0] == seen[1]
        assert list(seen[0].headers) == list(seen[1].headers)

    async def test_request_with_a_body_takes_the_session_path(self, opened: list[object]) -> None:
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.partitions.create(document=b"%PDF-1.7", key="k", instructions="i")

        assert (opened, len(server.requests)) == ([], 1)

    async def test_users_session_takes_the_session_path(self, opened: list[object]) -> None:
        async with (
            raw_server(ok) as server,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            client_for(server.url, session=session) as client,
        ):
            await client.splits.cancel(SPLIT_ID)

        assert (opened, len(server.requests)) == ([], 1)

    async def test_proxy_takes_the_session_path(self, opened: list[object]) -> None:
        async with raw_server(ok) as proxy, client_for("http://127.0.0.1:9", proxy=proxy.url) as client:
            await client.splits.cancel(SPLIT_ID)

        assert (opened, len(proxy.requests)) == ([], 1)

    async def test_trace_configs_take_the_session_path(self, opened: list[object]) -> None:
        started: list[str] = []

        async def on_start(*_: object) -> None:
            started.append("started")

        tracing = aiohttp.TraceConfig()
        tracing.on_request_start.append(on_start)
        async with raw_server(ok) as server, client_for(server.url, trace_configs=[tracing]) as client:
            await client.splits.cancel(SPLIT_ID)

        assert (opened, started) == ([], ["started"])

    async def test_replaced_session_method_takes_the_session_path(self, opened: list[object]) -> None:
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            with aioresponses(passthrough=[server.url]):
                await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

        assert (len(opened), len(server.requests)) == (2, 3)

    async def test_environment_variable_disables_the_fast_path(
        self, opened: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RETAB_NO_FAST_WIRE", "1")
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)

        assert (opened, len(server.requests)) == ([], 1)

    async def test_windows_takes_the_session_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")

        assert not wire_module.is_supported()

    @pytest.mark.parametrize(
        ("owner", "name", "value"),
        [
            (aiohttp.TCPConnector, "connect", lambda _, __: None),
            (aiohttp.TCPConnector, "connect", None),
            (ResponseHandler, "set_response_params", lambda _: None),
            (ResponseHandler, "should_close", None),
            (wire_module, "_REQUEST", print),
        ],
        ids=["another connect", "no connect", "another set_response_params", "no should_close", "wrapped request"],
    )
    async def test_unknown_aiohttp_takes_the_session_path(
        self, owner: Any, name: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if name == "should_close":
            monkeypatch.delattr(owner, name)
        else:
            monkeypatch.setattr(owner, name, value)

        assert not wire_module.is_supported()

    async def test_transport_that_keeps_its_protocol_disables_the_fast_path(
        self, opened: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire_module.Wire, "is_connected", False)
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

        assert (opened, len(server.requests)) == ([], 2)


async def outcome_of(client: AsyncRetab) -> tuple[object, ...]:
    """Return what a call came to, without the parts that differ between two connections."""
    request = Request("GET", "/v1/splits/splt_1", max_response_bytes=2000)
    try:
        response = await client.splits._api.transport.send(request)
    except RetabError as error:
        return type(error), getattr(error, "status_code", None), getattr(error, "body", None)
    return response.status, list(response.headers.items()), response.body


def say_in_pieces(pieces: list[bytes]) -> Step:
    async def step(wire: Wire) -> None:
        for piece in pieces:
            wire.writer.write(piece)
            await asyncio.sleep(0.0005)
        wire.writer.close()

    return step


CHUNKED_FIELDS = {"Transfer-Encoding": "chunked", "Content-Length": ""}
CHUNKED = message(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), headers=CHUNKED_FIELDS)
GZIP_FIELDS = {"Content-Encoding": "gzip"}
ZIPPED = gzip.compress(BODY)
RESPONSES = [
    message(BODY),
    message(BODY, headers={"Connection": "close"}),
    message(BODY, headers={"Content-Length": "", "Connection": "close"}),
    message(ZIPPED, headers=GZIP_FIELDS),
    message(ZIPPED, headers={"Content-Encoding": "GZIP"}),
    message(ZIPPED[:-9], headers=GZIP_FIELDS),
    message(ZIPPED + b"x", headers=GZIP_FIELDS),
    message(ZIPPED + ZIPPED, headers=GZIP_FIELDS),
    message(BODY, headers=GZIP_FIELDS),
    message(b"", headers=GZIP_FIELDS),
    message(gzip.compress(b" " * 100_000 + BODY), headers=GZIP_FIELDS),
    message(zlib.compress(BODY), headers={"Content-Encoding": "deflate"}),
    message(b"%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED), headers=CHUNKED_FIELDS | GZIP_FIELDS),
    CHUNKED,
    CHUNKED + b"garbage",
    CHUNKED + b"\r\n0\r\n\r\n",
    CHUNKED + CHUNKED,
    CHUNKED + message(BODY)[:40],
    CHUNKED[:-2] + b"X-Trailer: 1\r\n\r\n",
    CHUNKED[:-5] + b"0;extension\r\n\r\n",
    CHUNKED[:-5],
    message(b"0\r\n\r\n", headers=CHUNKED_FIELDS),
    message(b"zz\r\n", headers=CHUNKED_FIELDS),
    message(b"11170\r\n%b\r\n0\r\n\r\n" % (b" " * 70_000), headers=CHUNKED_FIELDS),
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + message(BODY),
    message(b"", 204, {"Content-Length": ""}),
    message(b'{"detail": "no"}', 404),
    message(b'{"detail": "no"}', 503, {"Retry-After": "1"}),
    message(b"x" * 1999),
    message(b"x" * 2001),
    message(b"x" * 3000, 500),
    message(BODY) + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    message(BODY) + b"HTTP/1.1 200 OK\r\nContent-Le",
    message(BODY) + b"garbage",
    message(BODY, headers={"Content-Length": "9999"}),
    message(BODY, headers={"Content-Length": "-1"}),
    message(BODY, headers={"X-Long": "y" * 9000}),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\nContent-Length: 6\n\n\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\n\r\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}",
    b"\r\n\r\n" + message(BODY),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"",
]


def reply_with(content: bytes) -> Step:
    """Send these bytes, and keep the connection."""

    async def step(wire: Wire) -> None:
        wire.writer.write(content)

    return step


def compare_paths(pieces: list[bytes]) -> None:
    async def compare() -> None:
        async with raw_server(say_in_pieces(pieces)) as server:
            # Some damaged responses are waited for until the timeout.
            async with client_for(server.url, retry=ONCE, timeout=1) as client:
                fast = await outcome_of(client)
            async with client_for(server.url, retry=ONCE, timeout=1) as client:
                session = await outcome_of(session_path(client))
            assert fast == session

    asyncio.run(compare())


class TestEquality:
    @pytest.mark.parametrize("content", RESPONSES)
    def test_each_response_gives_the_same_outcome_on_both_paths(self, content: bytes) -> None:
        compare_paths([content[: len(content) // 2], content[len(content) // 2 :]])

    def test_bytes_after_a_corrupt_piece_are_read_on_neither_path(self) -> None:
        corrupt = bytearray(gzip.compress(os.urandom(3000)))
        corrupt[0] ^= 0xFF
        content = message(bytes(corrupt), headers=GZIP_FIELDS)

        compare_paths([content[:150], content[150:1500], content[1500:]])

    @pytest.mark.slow
    @settings(max_examples=60)
    @example(content=CHUNKED + b"garbage", cuts=[85])
    @example(content=message(b"zz\r\n", headers=CHUNKED_FIELDS), cuts=[85])
    @example(content=message(BODY) + b"garbage", cuts=[90])
    @example(content=b"HTTP/1.1 200 OK\r\nContent-Length: 6\n\n\r\r\n\r\n{}\r\n\r\n", cuts=[43, 46])
    @given(
        content=st.one_of(st.sampled_from(RESPONSES), st.binary(max_size=60)),
        cuts=st.lists(st.integers(0, 400), max_size=4),
    )
    def test_the_same_bytes_give_the_same_outcome_on_both_paths(self, content: bytes, cuts: list[int]) -> None:
        ends = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
        compare_paths([content[start:end] for start, end in pairwise(ends)])

    @pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    @pytest.mark.parametrize("body", [BARE_SPLIT, FULL_SPLIT], ids=["three fields", "all fields"])
    def test_tls_on_each_event_loop(
        self, factory: Callable[[], asyncio.AbstractEventLoop], body: dict[str, Any], opened: list[object]
    ) -> None:
        authority = trustme.CA()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)

        async def use() -> None:
            async with raw_server(reply(body), ssl=serving) as server, client_for(server.url, ssl=trusting) as client:
                for _ in range(3):
                    assert (await client.splits.cancel(SPLIT_ID)).id == SPLIT_ID
                assert (server.connections, len(opened)) == (1, 3)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(use())


class TestConnections:
    async def test_response_with_connection_close_is_the_last_on_its_connection(self) -> None:
        closing = reply(BARE_SPLIT, headers={"Connection": "close"})
        async with raw_server(closing, ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

        assert server.connections == 2

    @pytest.mark.parametrize("extra", [b"x", message(BODY), b"HTTP/1.1 200 OK\r\nContent-Le"])
    async def test_bytes_after_a_response_never_reach_the_next_request(self, extra: bytes) -> None:
        async def with_extra(wire: Wire) -> None:
            wire.writer.write(message(BODY) + extra)

        async with raw_server(with_extra, reply(BARE_SPLIT)) as server, client_for(server.url) as client:
            results = [await outcome_of(client), await outcome_of(client)]

        assert results[1][0] == 200
        assert b"cancelled" in results[1][2]  # type: ignore[operator]

    async def test_unsolicited_bytes_close_an_idle_connection(self) -> None:
        async def late(wire: Wire) -> None:
            wire.writer.write(message(BODY))
            await asyncio.sleep(0.02)
            wire.writer.write(message(b'{"id":"splt_2","status":"failed"}'))

        async with raw_server(late, ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await until(lambda: not server.open)
            again = await client.splits.cancel(SPLIT_ID)

        assert (again.status, server.connections) == ("cancelled", 2)

    async def test_half_closed_peer_is_replaced(self) -> None:
        async def half_close(wire: Wire) -> None:
            wire.writer.write(message(BODY))
            wire.writer.write_eof()

        async with raw_server(half_close, ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await until(lambda: not server.open)
            await client.splits.cancel(SPLIT_ID)

        assert (len(server.requests), server.connections) == (2, 2)

    async def test_idle_connections_close_after_their_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire_pool_module, "_IDLE_SECONDS", 0.05)
        async with raw_server(ok) as server, client_for(server.url) as client:
            await asyncio.gather(*(client.splits.cancel(SPLIT_ID) for _ in range(3)))
            await asyncio.sleep(0.03)
            await client.splits.cancel(SPLIT_ID)
            await until(lambda: not server.open)

            assert connections_in_use(client) == 0

    async def test_max_connections_holds_across_both_paths(self) -> None:
        async with raw_server(ok) as server, client_for(server.url, max_connections=2) as client:
            await asyncio.gather(*(client.splits.cancel(SPLIT_ID) for _ in range(2)))
            await asyncio.gather(
                *(client.partitions.create(document=b"%PDF-1.7", key="k", instructions="i") for _ in range(2))
            )
            await asyncio.gather(*(client.splits.cancel(SPLIT_ID) for _ in range(2)))

            assert server.connections == 2

    async def test_cancelled_request_closes_its_connection(self) -> None:
        async with raw_server(stall, ok) as server, client_for(server.url) as client:
            call = asyncio.create_task(client.splits.cancel(SPLIT_ID))
            await server.asked.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: not server.open)

            assert connections_in_use(client) == 0

    @pytest.mark.parametrize("step", [stall, reply(b"x" * 10, headers={"Content-Length": "50"})], ids=["head", "body"])
    async def test_deadlines_of_concurrent_requests_share_one_timer(self, step: Step) -> None:
        async with raw_server(ok, ok, ok, step) as server, client_for(server.url, retry=ONCE, timeout=0.1) as slow:
            # Their connections are open: on a busy machine opening one takes longer than these timeouts.
            patient, impatient = slow.with_options(timeout=5), slow.with_options(timeout=0.05)
            await asyncio.gather(*(patient.splits.cancel(SPLIT_ID) for _ in range(3)))
            calls = [client.splits.cancel(SPLIT_ID) for client in (slow, impatient, slow)]
            errors = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(error) for error in errors] == [APITimeoutError] * 3

    async def test_a_request_whose_connection_opens_while_another_times_out_times_out_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_wire = WirePool.open
        has_timed_out = asyncio.Event()

        async def open_later(pool: WirePool, url: URL, seconds: float) -> wire_module.Wire | None:
            if server.requests:
                await has_timed_out.wait()
            return await open_wire(pool, url, seconds)

        monkeypatch.setattr(WirePool, "open", open_later)
        async with (
            asyncio.timeout(10),
            raw_server(stall) as server,
            client_for(server.url, retry=ONCE, timeout=0.5) as client,
        ):
            first = asyncio.create_task(client.with_options(timeout=0.1).splits.cancel(SPLIT_ID))
            await until(lambda: bool(server.requests))
            second = asyncio.create_task(client.splits.cancel(SPLIT_ID))
            await asyncio.wait([first])
            has_timed_out.set()
            with pytest.raises(APITimeoutError):
                await second

        assert isinstance(first.exception(), APITimeoutError)
        assert len(server.requests) == 2

    async def test_closed_kept_alive_connection_is_resent_uncounted(self) -> None:
        async with raw_server(ok, close_early, ok) as server, client_for(server.url, retry=ONCE) as client:
            await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

        assert len(server.requests) == 3

    async def test_lost_first_connection_is_an_error(self) -> None:
        async with raw_server(close_early) as server, client_for(server.url, retry=ONCE) as client:
            with pytest.raises(APIConnectionError) as caught:
                await client.splits.cancel(SPLIT_ID)

        assert caught.value.in_doubt

    async def test_truncated_response_is_an_error(self) -> None:
        truncated = message(BODY)[:-5]
        async with raw_server(say_and_close(truncated)) as server, client_for(server.url, retry=ONCE) as client:
            with pytest.raises(APIConnectionError):
                await client.splits.cancel(SPLIT_ID)

    async def test_bytes_after_a_body_that_looks_like_a_head_are_no_part_of_any_response(self) -> None:
        body = BODY[:-1] + b"\r\n\r\n}"
        followed = message(body) + b"x" * (len(body) - 1)

        async with raw_server(say_and_stall(followed), ok) as server, client_for(server.url) as client:
            first = await client.splits.cancel(SPLIT_ID)
            second = await client.splits.cancel(SPLIT_ID)

            assert first.id == second.id == SPLIT_ID
            assert server.connections == 2

    async def test_delegated_connection_that_the_server_closes_is_not_taken_back(self) -> None:
        zipped = reply(zlib.compress(BODY), headers={"Content-Encoding": "deflate", "Connection": "close"})
        async with raw_server(zipped, ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

            assert server.connections == 2

    @pytest.mark.parametrize("content", [CHUNKED, message(ZIPPED, headers=GZIP_FIELDS)], ids=["chunked", "gzip"])
    async def test_short_encoded_response_is_read_in_place(
        self, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(wire: wire_module.Wire) -> None:
            raise AssertionError(wire)

        monkeypatch.setattr(wire_module.Wire, "read_head", fail)
        async with raw_server(reply_with(content)) as server, client_for(server.url) as client:
            for _ in range(3):
                assert (await client.splits.cancel(SPLIT_ID)).id == SPLIT_ID

            assert server.connections == 1

    async def test_timeout_in_a_body_counts_its_bytes_after_a_response_in_chunks(self) -> None:
        async with (
            raw_server(reply_with(CHUNKED), say_and_stall(message(BODY)[:-10])) as server,
            client_for(server.url, retry=ONCE, timeout=0.2) as client,
        ):
            await client.splits.cancel(SPLIT_ID)
            with pytest.raises(APITimeoutError, match=f"only {len(BODY) - 10} bytes of the answer arrived"):
                await client.splits.cancel(SPLIT_ID)

            assert server.connections == 1

    async def test_delegated_connection_is_reused(self) -> None:
        zipped = reply(zlib.compress(BODY), headers={"Content-Encoding": "deflate"})
        async with raw_server(zipped, zipped, ok) as server, client_for(server.url) as client:
            for _ in range(3):
                await client.splits.cancel(SPLIT_ID)

            assert server.connections == 1

    async def test_close_ends_requests_in_flight(self) -> None:
        async with raw_server(stall) as server:
            client = client_for(server.url)
            call = asyncio.create_task(client.splits.cancel(SPLIT_ID))
            await server.asked.wait()
            await client.aclose()

            with pytest.raises(RetabError, match="closed"):
                await call
            await until(lambda: not server.open)

    async def test_release_after_close_does_nothing(self) -> None:
        async with raw_server(ok) as server, client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            wires = client._pool._wires
            assert wires is not None
            wire = wires.acquire_idle()
            assert wire is not None
            wires.discard(wire)
            wire.release()

            assert not wire.is_open()

    async def test_connection_lost_after_the_timeout_keeps_the_timeout(self) -> None:
        async with raw_server(stall) as server, client_for(server.url, retry=ONCE, timeout=0.1) as client:
            call = asyncio.create_task(client.splits.cancel(SPLIT_ID))
            await server.asked.wait()
            wires = client._pool._wires
            assert wires is not None
            (wire,) = wires._wires
            wire.expire()
            wire.connection_lost(None)

            with pytest.raises(APITimeoutError):
                await call

    async def test_head_hides_the_credential(self) -> None:
        head = wire_module.RequestHead("POST", URL("http://127.0.0.1"), {"Api-Key": "sk_secret"})

        assert b"sk_secret" in head.after
        assert "sk_secret" not in repr(head)


async def test_expired_timer_watches_the_next_deadline() -> None:
    async with raw_server(stall) as server, client_for(server.url, retry=ONCE, timeout=0.05) as client:
        first = asyncio.create_task(client.splits.cancel(SPLIT_ID))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(client.splits.cancel(SPLIT_ID))
        for call in (first, second):
            with pytest.raises(APITimeoutError):
                await call
        wires = client._pool._wires

        assert isinstance(wires, WirePool)
        assert not wires._wires
