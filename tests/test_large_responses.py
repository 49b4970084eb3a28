"""Large and hostile responses: limits of size, and the lag of the event loop while they are read."""

import asyncio
import gzip
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from clients import ONCE, client_for
from raw_server import Step, raw_server, reply

from retab_async import AsyncRetab, ResponseError, RetabError
from retab_async.protocol import MAX_PAGE_BYTES, MAX_STATUS_BYTES

# Seconds; the promise is 0.25, on a machine that has nothing else to do.
LAG = 2.0
GZIP = {"Content-Encoding": "gzip"}


def zipped(body: bytes) -> Step:
    return reply(gzip.compress(body, 1), headers=GZIP)


class Lag:
    """The longest time in which the event loop did not run."""

    worst = 0.0


@asynccontextmanager
async def lag() -> AsyncIterator[Lag]:
    measured = Lag()

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            measured.worst = max(measured.worst, loop.time() - before)

    ticking = asyncio.create_task(tick())
    yield measured
    ticking.cancel()


VALUES: dict[str, bytes] = {
    "objects": b'{"id":"splt_1","status":"completed","output":[%b]}'
    % b",".join([b'{"name":"a","pages":[1,2]}'] * 10_000),
    "lists": b'{"id":"splt_1","status":"completed","x":[%b]}' % b",".join([b"[]"] * 150_000),
    "keys": b'{"id":"splt_1","status":"completed","x":{%b}}' % b",".join(b'"k%d":1' % n for n in range(200_000)),
    "text": b'{"id":"splt_1","status":"completed","x":"%b"}' % (b"x\\n" * 4_000_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", VALUES.values(), ids=VALUES)
async def test_large_result_is_read_beside_the_event_loop(body: bytes) -> None:
    async with (
        raw_server(reply(body)) as server,
        client_for(server.url, retry=ONCE, timeout=60) as client,
        lag() as measured,
    ):
        split = await client.splits.get("splt_1")

    assert split.id == "splt_1"
    assert measured.worst < LAG


@pytest.mark.slow
async def test_result_with_too_many_values_raises_a_response_error() -> None:
    body = b'{"id":"splt_1","status":"completed","x":[%b]}' % b",".join([b"[]"] * 600_000)
    async with (
        raw_server(zipped(body)) as server,
        client_for(server.url, retry=ONCE, timeout=60) as client,
        lag() as measured,
    ):
        with pytest.raises(ResponseError, match="brackets and commas"):
            await client.splits.get("splt_1")

    assert measured.worst < LAG


async def test_result_with_more_values_than_a_smaller_limit_raises_a_response_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retab_async.protocol.json_loader.MAX_MARKS", 1000)
    monkeypatch.setattr("retab_async.protocol.json_loader.PIECE", 1024)
    monkeypatch.setattr("retab_async.protocol.json_loader._MARKS_AT_ONCE", 0)
    body = b'{"id":"splt_1","status":"completed","x":[%b]}' % b",".join([b"[]"] * 600)
    async with raw_server(zipped(body)) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises(ResponseError, match="brackets and commas"):
            await client.splits.get("splt_1")


CAPS: dict[str, tuple[int, Callable[[AsyncRetab], Awaitable[Any]]]] = {
    "status": (MAX_STATUS_BYTES, lambda client: client.splits.get("splt_1", include_output=False)),
    "page": (MAX_PAGE_BYTES, lambda client: anext(client.splits.list().pages())),
}


@pytest.mark.parametrize(("cap", "call"), CAPS.values(), ids=CAPS)
async def test_response_larger_than_its_kind_may_be_raises_a_response_error(
    cap: int, call: Callable[[AsyncRetab], Awaitable[Any]]
) -> None:
    body = b'{"id":"splt_1","status":"completed","data":[],"x":"' + b" " * cap + b'"}'
    async with raw_server(zipped(body)) as server, client_for(server.url, retry=ONCE, timeout=60) as client:
        with pytest.raises(ResponseError, match=f"larger than {cap} bytes"):
            await call(client)


@pytest.mark.slow
async def test_page_of_far_too_many_rows_without_ids_raises_at_once_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = b'{"data":[%b]}' % b",".join([b"{}"] * 200_000)
    async with (
        raw_server(zipped(body)) as server,
        client_for(server.url, retry=ONCE, timeout=60) as client,
        lag() as measured,
    ):
        with pytest.raises(ResponseError, match="200000 rows"):
            await anext(client.splits.list().pages())

    assert measured.worst < LAG
    assert caplog.messages == []


DEEP = b"[" * 900 + b"]" * 900
DEEP_BODIES = {
    "run": b'{"id":"splt_1","status":"completed","output":%b}' % DEEP,
    "details": b'{"details":%b}' % DEEP,
    "page": b'{"data":[{"id":"splt_1","status":"completed","subdocuments":%b}]}' % DEEP,
}
CALLS: dict[str, Callable[[AsyncRetab], Awaitable[Any]]] = {
    **{name: call for name, (_, call) in CAPS.items()},
    "cancel": lambda client: client.splits.cancel("splt_1"),
    "get": lambda client: client.splits.get("splt_1"),
    "create": lambda client: client.partitions.create(document=b"%PDF-1.7", key="a", instructions="b"),
    "delete": lambda client: client.splits.delete("splt_1"),
    "stream": lambda client: anext(client.extractions.stream(document=b"%PDF-1.7", json_schema={"type": "object"})),
}


@pytest.mark.parametrize("status", [200, 422, 500])
@pytest.mark.parametrize("body", DEEP_BODIES.values(), ids=DEEP_BODIES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_deep_response_gives_a_result_or_a_retab_error(
    status: int, body: bytes, call: Callable[[AsyncRetab], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_server(reply(body, status)) as server, client_for(server.url, retry=ONCE) as client:
        result, error = None, None
        try:
            result = await call(client)
        except RetabError as raised:
            error = raised

    assert error or status == 200
    assert len(str(error)) < 2000
    assert pickle.dumps(error)
    assert repr(result)
