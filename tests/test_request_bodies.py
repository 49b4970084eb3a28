"""Requests with a body: how it is sent, and whether a failed one may have taken effect."""

import asyncio
import json
import pickle
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import aiohttp
import pytest
from clients import ONCE, QUICK, client_for, user_session
from raw_server import RawServer, close_early, raw_server, reply, reset, say_and_stall, stall, until, unused_port

from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncRetab,
    ConflictError,
    InvalidRequestError,
    RetabError,
    RetryPolicy,
)
from retab_async.protocol import BytesBody, DeliveryState, Request, Response

CONTENT = b'{"key":"account"}'


class Pieces:
    """A body in pieces, which may fail before the last one."""

    media_type = "text/plain"

    def __init__(self, *pieces: bytes, failure: Exception | None = None) -> None:
        self.all = pieces
        self.length = sum(map(len, pieces))
        self.failure = failure

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        for piece in self.all[:-1]:
            yield piece
        if self.failure:
            raise self.failure
        yield self.all[-1]


def create(**fields: Any) -> Request:
    return Request("POST", "/v1/splits", **{"body": BytesBody(CONTENT), "idempotency_key": "key-1"} | fields)


async def send(client: AsyncRetab, request: Request, delivery: DeliveryState | None = None) -> Response:
    transport = client.splits._api.transport
    return await transport.send(request, delivery=delivery)


async def fails(server: RawServer, *, retry: RetryPolicy = QUICK, **fields: Any) -> APIError | APIConnectionError:
    async with client_for(server.url, retry=retry, timeout=0.2) as client:
        with pytest.raises(RetabError) as caught:
            await send(client, create(**fields))
    assert isinstance(caught.value, APIError | APIConnectionError)
    return caught.value


@contextmanager
def full_up() -> Iterator[int]:
    """A port of loopback whose backlog is full, so that a further connection gets no response."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_a_body_is_sent_with_length_type_and_idempotency_key() -> None:
    async with raw_server(reply(b"{}", 201)) as server, client_for(server.url) as client:
        await send(client, create())

        sent = server.requests[0]
        assert (sent.method, sent.target, sent.body) == ("POST", "/v1/splits", CONTENT)
        assert sent.headers["content-length"] == str(len(CONTENT))
        assert sent.headers["content-type"] == "application/json"
        assert sent.headers["idempotency-key"] == "key-1"
        assert "api-key" in sent.headers


async def test_each_attempt_sends_the_whole_body_again() -> None:
    body = Pieces(b"a" * 300_000, b"b" * 300_000, b"c")
    async with raw_server(reply(b"{}", 503), reset, reply(b"{}")) as server, client_for(server.url) as client:
        await send(client, create(body=body))

        assert [request.body for request in server.requests] == [b"".join(body.all)] * 3
        assert {request.headers["idempotency-key"] for request in server.requests} == {"key-1"}
        assert {request.headers["content-type"] for request in server.requests} == {"text/plain"}


async def test_an_external_request_has_its_own_headers_and_no_credential() -> None:
    async with raw_server(reply()) as server, client_for("http://127.0.0.1:1") as client:
        target = f"{server.url}/bucket/a%2Fb?X-Sig=%2B1"
        headers = (
            ("Content-Type", "application/pdf"),
            ("x-goog-part", "1"),
            ("Cookie", "a=b"),
            ("X-Forwarded-For", "a"),
        )
        await send(client, Request("PUT", "target", body=BytesBody(b"%PDF"), external_url=target, headers=headers))

        sent = server.requests[0]
        assert (sent.method, sent.target, sent.body) == ("PUT", "/bucket/a%2Fb?X-Sig=%2B1", b"%PDF")
        assert (sent.headers["content-type"], sent.headers["x-goog-part"]) == ("application/pdf", "1")
        assert not {"api-key", "authorization", "idempotency-key", "cookie", "x-forwarded-for"} & set(sent.headers)


async def test_an_external_request_carries_nothing_of_a_users_session() -> None:
    """Neither default headers, nor its credentials, nor what its middlewares add."""

    async def add_header(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["X-Middleware"] = "secret"
        return await handler(request)

    own = {"headers": {"X-Tenant": "secret", "Authorization": "Basic YTpi"}, "middlewares": (add_header,)}
    async with raw_server(reply()) as server, user_session(**own) as session:
        client = client_for(server.url, session=session)
        await send(client, Request("PUT", "target", body=BytesBody(b"%PDF"), external_url=f"{server.url}/bucket"))
        await send(client, Request("GET", "/v1/x"))
        external, internal = server.requests

        assert "secret" in str(internal.headers)
        assert "authorization" in internal.headers
        assert not {"x-tenant", "authorization", "x-middleware", "api-key", "cookie"} & set(external.headers)
        assert external.body == b"%PDF"
        assert not session.closed
        assert server.connections == 1


@pytest.mark.parametrize("given", [False, True], ids=["environment", "given"])
async def test_no_proxy_applies_to_each_target_host(monkeypatch: pytest.MonkeyPatch, *, given: bool) -> None:
    monkeypatch.setattr("retab_async.settings.is_loopback_host", lambda host: host == "127.0.0.1")
    async with raw_server(reply(b"{}")) as proxy, raw_server(reply(b"{}")) as storage:
        # Over http the proxy sees whole requests; localhost stands for the storage host.
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "localhost,.internal.test")
        url = f"http://localhost:{storage.port}/bucket"
        async with client_for("http://127.0.0.1:9", proxy=proxy.url if given else None) as client:
            for target in (url, "http://storage.test/bucket", "http://a.internal.test:1/bucket"):
                request = Request("PUT", "target", body=BytesBody(b"%PDF"), external_url=target)
                with suppress(APIConnectionError):
                    await send(client.with_options(retry=ONCE), request)

    through = [request.target for request in proxy.requests]
    assert ("http://storage.test/bucket" in through, len(storage.requests)) == (True, 0 if given else 1)
    assert (len(through) == 3) is given


async def test_the_operating_system_decides_without_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr("retab_async.settings.proxy_bypass", lambda host: host == "bypassed.test")
    client = client_for("https://retab.invalid", proxy=None)
    await client.aclose()

    assert client._settings.proxy_for("https://storage.test/a") == "http://proxy.test:3128"
    assert client._settings.proxy_for("https://bypassed.test/a") is None


async def test_an_error_of_the_body_ends_the_call() -> None:
    body = Pieces(b"a" * 10, b"b", failure=InvalidRequestError("the file has changed"))
    async with raw_server(stall) as server, client_for(server.url) as client:
        delivery = DeliveryState()
        with pytest.raises(InvalidRequestError, match="the file has changed"):
            await send(client, create(body=body), delivery)
        await until(lambda: not server.open)

        assert not delivery.may_have_taken_effect
        assert server.connections == 1


@pytest.mark.parametrize(
    ("step", "in_doubt"),
    [
        (reply(b"{}", 500), True),
        (reply(b"{}", 502), True),
        (reply(b"{}", 504), True),
        (reset, True),
        (close_early, True),
        (stall, True),
        (say_and_stall(b"HTTP/1.1 201 Created\r\n"), True),
        (reply(b"{}", 503), False),
        (reply(b"{}", 429), False),
        (reply(b"{}", 408), False),
        (reply(b"{}", 422), False),
        (reply(b"{}", 401), False),
        (reply(b"{}", 409), False),
    ],
)
async def test_in_doubt_says_whether_the_call_may_have_taken_effect(step: Any, *, in_doubt: bool) -> None:
    async with raw_server(step) as server:
        error = await fails(server, retry=ONCE)

        assert error.in_doubt is in_doubt
        assert error.idempotency_key == "key-1"
        assert ("repeat it with idempotency_key='key-1'" in str(error)) is in_doubt
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own


async def test_a_call_that_never_connected_is_not_in_doubt() -> None:
    async with client_for(f"http://127.0.0.1:{unused_port()}") as client:
        with pytest.raises(APIConnectionError) as caught:
            await send(client, create())

        assert caught.value.attempts == 4
        assert not caught.value.in_doubt


async def test_doubt_of_an_earlier_attempt_stays_with_the_call() -> None:
    async with raw_server(reset, reply(b"{}", 422)) as server:
        error = await fails(server)

        assert error.attempts == 2
        assert error.in_doubt


async def test_a_conflict_after_a_doubtful_attempt_is_retried() -> None:
    async with (
        raw_server(reset, reply(b"{}", 409), reply(b'{"id": 1}', 201)) as server,
        client_for(server.url) as client,
    ):
        answer = await send(client, create())

        assert json.loads(answer.body) == {"id": 1}
        assert answer.attempts == 3


async def test_a_conflict_without_doubt_is_raised() -> None:
    async with raw_server(reply(b"{}", 409)) as server:
        error = await fails(server)

        assert isinstance(error, ConflictError)
        assert error.attempts == 1


async def test_a_read_is_never_in_doubt() -> None:
    async with raw_server(reset) as server, client_for(server.url) as client:
        with pytest.raises(APIConnectionError) as caught:
            await client.splits.get("splt_1")

        assert not caught.value.in_doubt


async def test_a_call_cancelled_in_flight_may_have_taken_effect() -> None:
    async with raw_server(stall) as server, client_for(server.url) as client:
        delivery = DeliveryState()
        call = asyncio.ensure_future(send(client, create(), delivery))
        before = delivery.may_have_taken_effect
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert not before
        assert delivery.may_have_taken_effect


async def test_a_call_cancelled_before_its_body_was_sent_is_not_in_doubt() -> None:
    class Slow(Pieces):
        async def pieces(self) -> AsyncGenerator[bytes, None]:
            yield self.all[0]
            await asyncio.sleep(60)

    async with raw_server(stall) as server, client_for(server.url) as client:
        delivery = DeliveryState()
        call = asyncio.ensure_future(send(client, create(body=Slow(b"a" * 100, b"b")), delivery))
        await until(lambda: server.connections == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert not delivery.may_have_taken_effect


async def test_extra_seconds_extend_the_timeout() -> None:
    async def late(wire: Any) -> None:
        await asyncio.sleep(0.3)
        await reply(b"{}")(wire)

    async with raw_server(late) as server, client_for(server.url, timeout=0.1, retry=ONCE) as client:
        answer = await send(client, create(extra_seconds=5.0))

        assert answer.status == 200


async def test_extra_seconds_do_not_extend_connecting() -> None:
    with full_up() as port:
        async with client_for(f"http://127.0.0.1:{port}", timeout=0.1, retry=ONCE) as client:
            with pytest.raises(APITimeoutError, match=r"no answer within 0\.1 s") as caught:
                await send(client, create(extra_seconds=600.0))

            assert not caught.value.in_doubt


async def test_with_timeout_uses_the_same_connections() -> None:
    async with raw_server(reply(b"{}"), stall) as server, client_for(server.url, timeout=5) as client:
        transport = client.splits._api.transport
        quick = transport.with_timeout(timeout=0.1, policy=ONCE)
        await transport.send(create())
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.1 s"):
            await quick.send(create())

        assert server.connections == 1
        assert (quick.base_url, transport.base_url) == (server.url, server.url)


def test_a_streamed_payload_cannot_be_decoded() -> None:
    from retab_async.transport.exchange import StreamedPayload  # noqa: PLC0415 - the inside

    with pytest.raises(NotImplementedError):
        StreamedPayload(BytesBody(CONTENT), DeliveryState()).decode()
