"""Hostile responses: deep JSON, echoed keys and oversized bodies end in normal errors, for every call."""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, client_for, connections_in_use
from fault_harness import came_of, create, keeps
from hypothesis import given
from hypothesis import strategies as st
from payloads import BARE_SPLIT, KEY, SPLIT_ID
from raw_server import Step, message, raw_server, reply, say_and_close

from retab_async import APIError, AsyncRetab, ResponseError, ResponseTooLargeError, RetabError, Subdocument
from retab_async.protocol import MAX_JSON_DEPTH, Request, Response, exceeds_depth, parse_json
from retab_async.settings import Credential, Settings
from retab_async.transport.response_body import MAX_INLINE_BYTES, ResponseReader

Call = Callable[[AsyncRetab], Awaitable[object]]


async def _list(client: AsyncRetab) -> None:
    async for _ in client.splits.list():
        pass


async def _running(client: AsyncRetab) -> None:
    async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("a")]):
        pass


async def _stream(client: AsyncRetab) -> None:
    async with client.extractions.stream(document=b"%PDF", json_schema={"type": "object"}) as states:
        async for _ in states:
            pass


async def _upload(client: AsyncRetab) -> None:
    await client.files.upload(b"%PDF-1.7")


CALLS: dict[str, Call] = {
    "cancel": lambda client: client.splits.cancel(SPLIT_ID),
    "get": lambda client: client.splits.get(SPLIT_ID),
    "get status": lambda client: client.splits.get(SPLIT_ID, include_output=False),
    "delete": lambda client: client.splits.delete(SPLIT_ID),
    "create": create,
    "list": _list,
    "wait": lambda client: client.splits.wait(SPLIT_ID, timeout=5, poll_interval=0.01),
    "running": _running,
    "stream": _stream,
    "upload": _upload,
}


def nested(levels: int, key: str = "") -> bytes:
    opening, closing = (f'{{"{key}":', "}") if key else ("[", "]")
    return (opening * levels + "1" + closing * levels).encode()


DEEP_ERRORS: dict[str, bytes] = {
    "lists in details": b'{"details":' + nested(983) + b"}",
    "objects in details": b'{"message": "no", "details":' + nested(983, "a") + b"}",
    "lists in a location": b'{"detail": [{"msg": "no", "loc": [' + nested(983) + b"]}]}",
    "lists alone": nested(1000),
    "more than orjson reads": nested(5000),
    "errors": b'{"errors":' + nested(983) + b"}",
    "JSON within JSON": json.dumps({"message": nested(983).decode()}).encode(),
}


# Depth


@pytest.mark.parametrize("body", DEEP_ERRORS.values(), ids=DEEP_ERRORS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_deeply_nested_error_body_is_an_api_error_of_every_call(call: Call, body: bytes) -> None:
    async with raw_server(reply(body, 422)) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises(APIError) as caught:
            await call(client)

        assert caught.value.status_code == 422
        keeps(caught.value)
        assert connections_in_use(client) == 0


async def test_a_deeply_nested_error_body_fails_only_its_own_id_of_a_bulk_job() -> None:
    async def step(wire: Any) -> None:
        is_deep = "splt_5/" in wire.request.target
        await reply(DEEP_ERRORS["lists in details"] if is_deep else BARE_SPLIT, 422 if is_deep else 200)(wire)

    async with raw_server(step) as server, client_for(server.url, retry=ONCE) as client:
        report = await client.splits.cancel_many([f"splt_{number}" for number in range(30)])

    assert [outcome.run_id for outcome in report.failures] == ["splt_5"]
    assert len(server.requests) == 30


@pytest.mark.parametrize("call", ["get", "create", "list", "stream", "upload"])
async def test_a_2xx_nested_deeper_than_the_limit_is_a_response_error(call: str) -> None:
    deep = b'{"id": "splt_1", "status": "completed", "output":' + nested(MAX_JSON_DEPTH + 1, "a") + b"}"
    async with raw_server(reply(deep)) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises(ResponseError, match="nested deeper than 200 levels") as caught:
            await CALLS[call](client.with_options(timeout=1))

        keeps(caught.value)


async def test_a_result_nested_up_to_the_limit_can_be_read_and_shown() -> None:
    output = json.loads(nested(MAX_JSON_DEPTH - 1, "a"))
    run = {"id": "extr_1", "status": "completed", "output": output}
    async with raw_server(reply(run)) as server, client_for(server.url) as client:
        extraction = await client.extractions.get("extr_1")

    assert extraction.output == output
    assert repr(extraction)


@given(st.integers(MAX_JSON_DEPTH - 2, MAX_JSON_DEPTH + 2), st.integers(0, MAX_JSON_DEPTH + 2), st.randoms())
def test_lists_and_objects_nested_in_any_order_count_as_levels(levels: int, objects: int, order: random.Random) -> None:
    kinds = [number < objects for number in range(levels)]
    order.shuffle(kinds)
    starts = [b'{"":' if is_object else b"[" for is_object in kinds]
    ends = [b"}" if is_object else b"]" for is_object in reversed(kinds)]
    body = b"".join([*starts, b"0", *ends])
    response = Response(Request("GET", "/v1/splits/splt_1"), 200, {}, body, 1, str)

    if levels > MAX_JSON_DEPTH:
        with pytest.raises(ResponseError, match="nested deeper than 200 levels"):
            parse_json(response)
    else:
        assert parse_json(response) == json.loads(body)


@given(st.integers(0, 50), st.integers(0, 50), st.booleans())
def test_exceeds_depth_counts_levels(levels: int, limit: int, is_object: bool) -> None:  # noqa: FBT001 - drawn
    value = json.loads(nested(levels, "a" if is_object else ""))

    assert exceeds_depth([value, 1], limit) is (levels + 1 > limit)


def test_exceeds_depth_accepts_wide_values() -> None:
    assert not exceeds_depth([[1]] * 100_000, 2)


# Echoed keys

ESCAPED = "".join(f"\\u{ord(char):04x}" for char in KEY)
PARTLY = KEY.replace("s", "\\u0073").replace("_", "\\u005F")
FORMS = {"literal": KEY, "escaped": ESCAPED, "partly escaped": PARTLY, "within JSON": ESCAPED.replace("\\", "\\\\")}
# Bodies of a 2xx that quote the key where the library shows text of the server.
QUOTING: dict[str, str] = {
    "status": '{"id": "splt_1", "status": "KEY"}',
    "id": '{"id": "KEY", "status": "failed", "error": {"code": "a", "message": "b"}}',
    "run error": '{"id": "splt_1", "status": "failed", "error": {"code": "KEY", "message": "used KEY"}}',
    "invalid field": '{"id": "splt_1", "status": "cancelled", "usage": {"credits": "KEY"}, "file": "KEY"}',
    "field name": '{"id": "splt_1", "status": "cancelled", "output": [{"KEY": 1}], "KEY": 1}',
    "cursor": '{"data": [{"id": "KEY", "status": "KEY"}], "list_metadata": {"after": "KEY"}}',
    "no run": '{"KEY": "KEY"}',
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("body", QUOTING.values(), ids=QUOTING)
@pytest.mark.parametrize("call", ["cancel", "get", "create", "list", "wait", "stream"])
async def test_a_key_echoed_in_a_2xx_reaches_no_run_error_or_log(
    call: str, body: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[object] = []
    async with (
        raw_server(reply(body.replace("KEY", form).encode())) as server,
        client_for(server.url, retry=ONCE) as client,
    ):
        try:
            said.append(await CALLS[call](client.with_options(timeout=0.5)))
        except RetabError as error:
            keeps(error, KEY, form)
            said += [error, str(error), getattr(error, "run", None)]

    for text in (repr(said), caplog.text):
        assert KEY not in text
        assert form not in text


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("status", [401, 422, 500])
async def test_a_key_echoed_in_an_error_body_reaches_no_part_of_the_error(status: int, form: str) -> None:
    body = f'{{"detail": {{"code": "{form}", "message": "bad {form}", "details": {{"{form}": ["{form}"]}}}}}}'
    async with raw_server(reply(body.encode(), status)) as server, client_for(server.url, retry=ONCE) as client:
        error = await came_of(client.splits.cancel(SPLIT_ID))

    assert isinstance(error, APIError)
    assert error.message == "bad ***"
    assert error.code == "***"
    assert error.details == {"***": ["***"]}
    keeps(error, KEY, form)


async def test_a_key_echoed_in_a_2xx_reaches_no_journal(tmp_path: Path) -> None:
    journal = tmp_path / "cancel.jsonl"
    bodies = {f"splt_{number}": body.replace("KEY", ESCAPED) for number, body in enumerate(QUOTING.values())}

    async def step(wire: Any) -> None:
        run_id = wire.request.target.split("?")[0].removesuffix("/cancel").rpartition("/")[2]
        await reply(bodies[run_id].encode())(wire)

    async with raw_server(step) as server, client_for(server.url, retry=ONCE) as client:
        await client.splits.cancel_many(bodies, journal=journal, outage_timeout=0.1)
    written = journal.read_text()

    assert written.count("splt_") >= len(QUOTING)
    assert KEY not in written
    assert ESCAPED not in written


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40), st.data())
def test_redact_body_removes_any_secret_in_any_json_form(secret: str, data: st.DataObject) -> None:
    credential = Credential("Api-Key", secret, secret)
    forms = [st.sampled_from([json.dumps(char)[1:-1], f"\\u{ord(char):04x}", f"\\u{ord(char):04X}"]) for char in secret]
    quoted = "".join(data.draw(st.tuples(*forms)))
    body = f'{{"a": "x {quoted} y", "b": [1, "{quoted}"]}}'.encode()

    assert json.loads(credential.redact_body(body)) == {"a": "x *** y", "b": [1, "***"]}
    assert json.loads(credential.redact(body.decode())) == {"a": "x *** y", "b": [1, "***"]}


@pytest.mark.parametrize("form", [KEY, ESCAPED, "\\" * 8 + ESCAPED[1:]])
def test_redact_body_removes_a_secret_across_the_border_of_two_pieces(form: str) -> None:
    credential = Credential("Api-Key", KEY, KEY)
    size = len(next(credential.redact_pieces(bytes(1_000_000))))
    for shift in range(len(form) + 2):
        filler = b"x" * (size - shift)
        body = b"%b%b y %b" % (filler, form.encode(), form.encode() * 2)

        assert credential.redact_body(body) == filler + b"*** y ******"


async def test_a_large_body_is_redacted_in_turns_with_other_tasks() -> None:
    body = b'{"id": "%b", "status": "completed", "x": "%b"}' % (
        SPLIT_ID.encode(),
        rf"{ESCAPED} \u0073".encode() * 10_000,
    )
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with raw_server(reply(body)) as server, client_for(server.url, retry=ONCE, timeout=30) as client:
        run = await client.splits.get(SPLIT_ID)
    settings = Settings(Credential("Api-Key", KEY, KEY), "https://api.example.com", None, 30, "tests")
    counter = asyncio.ensure_future(count_turns())
    await asyncio.sleep(0)
    response = await ResponseReader(settings).to_large_response(Request("GET", "/v1/splits/a"), 200, {}, body, 1)
    counter.cancel()

    assert run.id == SPLIT_ID
    assert response.body.count(b"***") == 10_000
    assert turns > len(body) / MAX_INLINE_BYTES


def test_redact_body_keeps_other_bodies() -> None:
    credential = Credential("Api-Key", KEY, KEY)
    body = json.dumps({"a": 'Grüße "quoted" \\ \n', "b": "\u0001", "c": KEY[:-1]}).encode()

    assert credential.redact_body(body) == body
    assert Credential("Api-Key", "short", "short").redact_body(b"short") == b"short"


# Size


async def test_a_response_over_the_limit_is_read_once_and_names_the_setting() -> None:
    large = reply(BARE_SPLIT | {"instructions": "x" * 5000})
    async with raw_server(large) as server, client_for(server.url, max_response_bytes=4096) as client:
        with pytest.raises(ResponseTooLargeError, match="larger than 4096 bytes: raise max_response_bytes"):
            await client.splits.get(SPLIT_ID)

        assert len(server.requests) == 1


async def test_a_response_over_the_limit_ends_a_wait_after_one_download() -> None:
    run = {"id": SPLIT_ID, "status": "completed", "instructions": "x" * 5000}
    async with raw_server(reply(run)) as server, client_for(server.url, max_response_bytes=4096) as client:
        with pytest.raises(ResponseTooLargeError):
            await client.splits.wait(SPLIT_ID, timeout=30)

        assert len(server.requests) == 1


@pytest.mark.slow
async def test_a_larger_limit_reads_what_the_default_rejects() -> None:
    text = "x" * (65 * 1024 * 1024)
    async with raw_server(reply(BARE_SPLIT | {"instructions": text})) as server:
        limit = 80 * 1024 * 1024
        async with client_for(server.url, max_response_bytes=limit, timeout=30) as client:
            run = await client.splits.get(SPLIT_ID)

    assert run.instructions == text


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "1"])
def test_an_invalid_max_response_bytes_raises(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_response_bytes must be an integer"):
        AsyncRetab(KEY, max_response_bytes=limit)


def _drip_json(size: int, every: float, piece: int, headers: dict[str, str]) -> Step:
    async def step(wire: Any) -> None:
        body = json.dumps(BARE_SPLIT | {"instructions": "x" * size}).encode()
        head = {"Content-Length": str(len(body))} | headers
        wire.writer.write(message(b"", headers=head))
        for start in range(0, len(body), piece):
            part = body[start : start + piece]
            wire.writer.write(b"%x\r\n%s\r\n" % (len(part), part) if "Transfer-Encoding" in headers else part)
            await wire.writer.drain()
            await asyncio.sleep(every)
        if "Transfer-Encoding" in headers:
            wire.writer.write(b"0\r\n\r\n")

    return step


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": "", "Transfer-Encoding": "chunked"}], ids=["with a length", "chunked"]
)
async def test_a_large_download_in_progress_is_not_cut_off(headers: dict[str, str]) -> None:
    # 1.5 MiB in 0.75 s: longer than timeout and deadline, faster than the slowest rate of 256 KiB a second.
    slow = _drip_json(3 * 2**19, 0.03, 2**16, headers)
    settings: dict[str, Any] = {"timeout": 0.3, "retry": ONCE}
    async with raw_server(slow) as server, client_for(server.url, **settings) as client:
        run = await client.splits.get(SPLIT_ID)

    assert run.instructions == "x" * (3 * 2**19)
    assert len(server.requests) == 1


async def test_a_download_slower_than_the_slowest_rate_ends_with_the_bytes_received() -> None:
    slow = _drip_json(2**18, 0.2, 1000, {})
    async with raw_server(slow) as server, client_for(server.url, timeout=0.1, retry=ONCE) as client:
        error = await came_of(client.splits.get(SPLIT_ID))

    assert "bytes of the answer arrived within 1.1 s" in str(error)
    assert "no answer within" not in str(error)


async def test_a_header_line_over_the_limit_is_not_retried() -> None:
    endless = say_and_close(b"HTTP/1.1 200 OK\r\nX-Proxy: " + b"y" * 70_000 + b"\r\n\r\n")
    async with raw_server(endless) as server, client_for(server.url) as client:
        error = await came_of(client.splits.cancel(SPLIT_ID))

    assert "a header line of the answer is longer than 65536 bytes" in str(error)
    assert len(server.requests) == 1
