"""Requests to any route, and headers of the user."""

import asyncio
from collections import OrderedDict
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from clients import client_for
from hypothesis import given, strategies
from payloads import BARE_SPLIT, KEY, SPLIT_ID
from raw_server import Wire, close_early, raw_server, reply, reset, stall

from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncRetab,
    ClientStateError,
    ConfigurationError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    ResponseError,
    ResponseTooLargeError,
    RetryPolicy,
)
from retab_async.api.any_route import any_request
from retab_async.emulator import Emulator, Fault

pytestmark = pytest.mark.usefixtures("connection_path")
OK = reply({"ok": True})


# What is sent


async def test_request_returns_the_response() -> None:
    async with Emulator() as server, client_for(server.url) as client:
        (run_id,) = server.seed("splits")
        response = await client.request("GET", f"/v1/splits/{run_id}", query={"include_output": False})

    assert response.json()["id"] == run_id
    assert (response.status, response.attempts) == (200, 1)
    assert response.request_id == response.headers["X-Request-Id"] == response.headers["x-request-id"]
    assert response.content.startswith(b"{")
    assert repr(response) == f"<APIResponse 200, {len(response.content)} bytes>"


async def test_method_query_body_and_key_are_sent() -> None:
    query = {"a": "ö&", "b": [1, 2.5, None], "c": None, "d": True, "e": ("x", "y")}
    async with raw_server(OK) as server, client_for(server.url) as client:
        await client.request("post", "/v1/projects/prj_1/rename", query=query, json={"n": "ö"}, idempotency_key="k-1")

    (request,) = server.requests
    assert request.method == "POST"
    assert request.target == "/v1/projects/prj_1/rename?a=%C3%B6%26&b=1&b=2.5&d=true&e=x&e=y"
    assert request.body == '{"n":"ö"}'.encode()
    assert request.headers["idempotency-key"] == "k-1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["api-key"] == KEY


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("key", [None, "k-1"])
async def test_request_without_a_body_has_its_key(method: str, key: str | None) -> None:
    async with raw_server(OK) as server, client_for(server.url) as client:
        assert (await client.request(method, "/v1/projects", idempotency_key=key)).json() == {"ok": True}

    (request,) = server.requests
    assert (request.method, request.body, request.headers.get("idempotency-key")) == (method, b"", key)
    assert request.headers["accept"] == "application/json"


async def test_base_url_with_a_path_and_a_trailing_slash_are_kept() -> None:
    async with raw_server(OK) as server, client_for(f"{server.url}/proxied/") as client:
        await client.request("GET", "/v1/projects/")

    assert server.requests[0].target == "/proxied/v1/projects/"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/a/../../admin",
        "/v1/a/..",
        "/v1/./a",
        "/v1/%2e%2e/admin",
        "/v1/a%2fb",
        "/v1/a\\..\\b",
        "/v1/a?b=c",
        "/v1/a#b",
        "/v1/a b",
        "/v1/a\r\nX: y",
        "/v1//admin",
        "//evil.test/v1/a",
        "https://evil.test/v1/a",
        "/v2/a",
        "/v1",
        "/v1/",
        "v1/a",
        "/v1/ä",
        "",
        None,
        b"/v1/a",
    ],
)
async def test_path_that_leaves_v1_is_rejected_before_sending(path: Any) -> None:
    async with raw_server(OK) as server, client_for(server.url) as client:
        with pytest.raises(InvalidRequestError, match="path must be a route"):
            await client.request("GET", path)

    assert server.requests == []


@given(strategies.text(alphabet="/.v1a%2e\\?#:@~-_", max_size=20).map(lambda text: f"/v1{text}"))
def test_accepted_path_has_no_segment_that_leads_elsewhere(path: str) -> None:
    try:
        request = any_request("GET", path, None, None, None)
    except InvalidRequestError:
        return
    segments = request.path.removesuffix("/").split("/")
    assert segments[:2] == ["", "v1"]
    assert len(segments) > 2
    assert not {"", ".", ".."} & set(segments[2:])
    assert not set("%\\?#") & set(request.path)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"method": "TRACE"}, "method must be"),
        ({"method": 1}, "method must be"),
        ({"query": "a=b"}, "query must be a mapping"),
        ({"query": {"a": {}}}, "query must have strings"),
        ({"query": {1: "a"}}, "query must have strings"),
        ({"query": {"a": "\ud800"}}, "UTF-8"),
        ({"json": {"a": object()}}, "json cannot be sent"),
        ({"json": {1, 2}}, "json cannot be sent"),
        ({"idempotency_key": "a b"}, "idempotency_key must be"),
    ],
)
async def test_invalid_argument_is_rejected_before_sending(arguments: dict[str, Any], problem: str) -> None:
    async with raw_server(OK) as server, client_for(server.url) as client:
        with pytest.raises(InvalidRequestError, match=problem):
            await client.request(**{"method": "POST", "path": "/v1/projects"} | arguments)

    assert server.requests == []


@pytest.mark.parametrize("value", [[], "text", 0, False, MappingProxyType({"a": 1}), OrderedDict(a=1), 2**70])
async def test_any_json_value_is_sent(value: Any) -> None:
    async with raw_server(OK) as server, client_for(server.url) as client:
        await client.request("PUT", "/v1/projects", json=value)

    assert server.requests[0].body


# Retries


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("body", [None, {}])
async def test_post_without_a_key_is_sent_once(method: str, body: Any) -> None:
    async with raw_server(reply(status=503), OK) as server, client_for(server.url) as client:
        with pytest.raises(InternalServerError) as raised:
            await client.request(method, "/v1/projects", json=body)

    assert raised.value.attempts == len(server.requests) == 1


@pytest.mark.parametrize("body", [None, {}])
async def test_post_without_a_key_is_not_sent_again_on_a_connection_that_was_closed(body: Any) -> None:
    async with raw_server(OK, close_early, OK) as server, client_for(server.url) as client:
        await client.request("GET", "/v1/projects")
        with pytest.raises(APIConnectionError) as raised:
            await client.request("POST", "/v1/projects", json=body)

    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert raised.value.in_doubt


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "GET"])
@pytest.mark.parametrize("failure", [reply(status=503), reset], ids=["503", "reset"])
async def test_repeatable_request_is_retried(method: str, failure: Any) -> None:
    key = "k-1" if method in {"POST", "PATCH"} else None
    async with raw_server(failure, OK) as server, client_for(server.url) as client:
        response = await client.request(method, "/v1/projects", json={}, idempotency_key=key)

    assert response.attempts == len(server.requests) == 2
    assert {request.headers.get("idempotency-key") for request in server.requests} == {key}


# Responses


async def test_error_response_is_the_error_of_its_status() -> None:
    async with Emulator() as server, client_for(server.url) as client:
        with pytest.raises(NotFoundError):
            await client.request("GET", "/v1/splits/splt_unknown")
        with pytest.raises(APIError):
            await client.request("GET", "/v1/no/such/route")


async def test_body_that_is_no_json_is_bytes() -> None:
    async with raw_server(reply(b"a,b\n")) as server, client_for(server.url) as client:
        response = await client.request("GET", "/v1/report")

    assert response.content == b"a,b\n"
    with pytest.raises(ResponseError, match="not JSON"):
        response.json()


async def test_size_limit_of_the_client_applies() -> None:
    async with raw_server(reply(b"x" * 101)) as server, client_for(server.url, max_response_bytes=100) as client:
        with pytest.raises(ResponseTooLargeError):
            await client.request("GET", "/v1/report")


async def test_throttle_of_the_client_applies() -> None:
    async with Emulator() as server, client_for(server.url) as client:
        server.fail("GET /v1/splits", Fault.status(429, retry_after=0))
        await client.request("GET", "/v1/splits")

        assert (client.stats().sent, client.stats().throttled) == (2, 1)


async def test_deadline_of_the_client_applies() -> None:
    async with raw_server(stall) as server, client_for(server.url, retry=RetryPolicy(deadline=0.3)) as client:
        # The timeout of one attempt is 5 seconds.
        async with asyncio.timeout(4):
            with pytest.raises(APITimeoutError):
                await client.request("GET", "/v1/report")

    assert len(server.requests) == 1


async def test_redirect_is_not_followed() -> None:
    elsewhere = reply(status=302, headers={"Location": "/v2/admin"})
    async with raw_server(elsewhere, OK) as server, client_for(server.url) as client:
        with pytest.raises(APIError) as raised:
            await client.request("GET", "/v1/report")

    assert (raised.value.status_code, len(server.requests)) == (302, 1)


async def test_key_that_the_server_echoes_is_not_in_the_response() -> None:
    echo = reply({"key": KEY}, headers={"X-Echo": KEY, "X-Other": "1", "X-Request-Id": f"r-{KEY}"})
    async with raw_server(echo) as server, client_for(server.url) as client:
        response = await client.request("GET", "/v1/echo")

    assert response.json() == {"key": "***"}
    assert (response.headers["x-echo"], response.headers["X-OTHER"]) == ("***", "1")
    assert response.request_id == "r-***"
    assert KEY not in str(response.headers)


async def test_closed_client_sends_nothing() -> None:
    async with raw_server(OK) as server:
        client = client_for(server.url)
        await client.aclose()
        with pytest.raises(ClientStateError):
            await client.request("GET", "/v1/projects")


# Headers of the user


@pytest.mark.parametrize("call", ["get", "create"])
async def test_headers_of_the_user_are_sent_with_every_request(call: str) -> None:
    async with raw_server(reply(BARE_SPLIT)) as server, client_for(server.url, headers={"X-Team": "billing"}) as client:
        if call == "get":
            await client.splits.get(SPLIT_ID)
        else:
            await client.splits.create(document=b"%PDF", filename="a.pdf", subdocuments=[{"name": "a"}])

    assert server.requests[0].headers["x-team"] == "billing"
    assert server.requests[0].headers["api-key"] == KEY


async def test_headers_of_a_copy_are_added_to_those_of_its_client() -> None:
    async with raw_server(OK) as server, client_for(server.url, headers={"X-Team": "a", "X-App": "b"}) as client:
        await client.with_options(headers={"x-team": "c", "X-User": "d"}).request("GET", "/v1/projects")
        await client.with_options(timeout=3).request("GET", "/v1/projects")
        await client.request("GET", "/v1/projects")

    names = ("x-team", "x-app", "x-user")
    sent = [tuple(request.headers.get(name) for name in names) for request in server.requests]
    assert sent == [("c", "b", "d"), ("a", "b", None), ("a", "b", None)]


async def test_headers_of_the_user_do_not_go_to_another_host() -> None:
    async def begin(wire: Wire) -> None:
        port = wire.writer.get_extra_info("sockname")[1]
        await reply({"fileId": "file_1", "uploadUrl": f"http://127.0.0.1:{port}/put"})(wire)

    complete = reply({"filename": "a.pdf", "url": "https://storage.test/a.pdf"})
    async with (
        raw_server(begin, reply(), complete) as server,
        client_for(server.url, headers={"X-Amz-Team": "billing"}) as client,
    ):
        await client.files.upload(b"%PDF", filename="a.pdf")

    assert [request.method for request in server.requests] == ["POST", "PUT", "POST"]
    assert [request.headers.get("x-amz-team") for request in server.requests] == ["billing", None, "billing"]


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Api-Key": "another_secret"}, "pass api_key"),
        ({"AUTHORIZATION": "Bearer another_secret"}, "pass bearer_token"),
        ({"User-Agent": "another_secret"}, "pass user_agent"),
        ({"Content-Length": "1"}, "the client sets it"),
        ({"X-A": "another_secret\r\nX-B: c"}, "printable ASCII"),
        ({"X-A": " another_secret"}, "printable ASCII"),
        ({"X-A": ""}, "printable ASCII"),
        ({"X-A": 1}, "printable ASCII"),
        ({"X A": "another_secret"}, "not the name of a header"),
        ({b"X-A": "another_secret"}, "not the name of a header"),
        ([("X-A", "another_secret")], "must be a mapping"),
    ],
)
def test_header_that_a_user_cannot_set_is_rejected_without_its_value(headers: Any, problem: str) -> None:
    client = AsyncRetab(KEY)
    client._pool.closed = True
    for configure in (partial(AsyncRetab, KEY), client.with_options):
        with pytest.raises(ConfigurationError, match=problem) as raised:
            configure(headers=headers)

        assert "another_secret" not in str(raised.value)


def test_values_of_headers_are_in_no_repr_of_the_settings() -> None:
    client = AsyncRetab(KEY, headers={"X-Gateway-Token": "another_secret"})
    client._pool.closed = True

    assert "another_secret" not in f"{client!r} {client._settings!r} {client._settings.headers!r}"
