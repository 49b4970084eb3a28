"""Streamed responses: server-sent events, keep-alives, timeouts and fairness."""

import asyncio
import json
import time
import zlib
from typing import Any

import pytest
from clients import ONCE, client_for, connections_in_use
from payloads import KEY
from raw_server import Step, Wire, drip, message, raw_server, reply

from retab_async import APITimeoutError, Extraction
from retab_async.protocol import event_data, is_keep_alive
from retab_async.transport import response_lines

CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked", "Content-Type": "text/event-stream"}
REQUEST: dict[str, Any] = {"document": b"%PDF", "json_schema": {"type": "object"}}
STATES: list[dict[str, Any]] = [
    {"id": "extr_1", "status": "in_progress", "output": {}},
    {"id": "extr_1", "status": "completed", "output": {"name": "Ada"}},
]
FIRST, LAST = (json.dumps(state).encode() for state in STATES)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def streamed(content: bytes) -> Step:
    return reply(chunk(content) + b"0\r\n\r\n", headers=CHUNKED)


async def states_of(*steps: Step, **settings: Any) -> list[Extraction]:
    async with raw_server(*steps) as server, client_for(server.url, **{"retry": ONCE} | settings) as client:
        try:
            async with client.extractions.stream(**REQUEST) as states:
                return [state async for state in states]
        finally:
            assert connections_in_use(client) == 0
            assert client._pool.slots._free == 100


# Server-sent events


@pytest.mark.parametrize(
    "content",
    [
        b": ping\n\n" + FIRST + b"\n: ping\n" + LAST + b"\n",
        b"event: state\nid: 1\nretry: 3000\ndata: " + FIRST + b"\n\nevent: state\nid: 2\ndata: " + LAST + b"\n\n",
        b"\xef\xbb\xbf" + FIRST + b"\n" + LAST + b"\n",
        b"\xef\xbb\xbfdata:" + FIRST + b"\n\ndata:" + LAST + b"\n\n",
        FIRST + b"\n" + LAST + b"\n[DONE]\n",
        b"data: " + FIRST + b"\n\ndata: " + LAST + b"\n\ndata: [DONE]\n\n",
        b"\r\n\r\n" + FIRST + b"\r\n:\r\n\r\n" + LAST,
        b"data:\n\n: a comment with data: {}\ndata: " + FIRST + b"\n\n  data: " + LAST + b"  \n\n",
    ],
    ids=["comments", "fields", "BOM", "BOM before data", "DONE", "DONE as data", "CRLF", "empty data"],
)
async def test_lines_without_data_are_skipped(content: bytes) -> None:
    states = await states_of(streamed(content))

    assert [state.output for state in states] == [{}, {"name": "Ada"}]


async def test_done_ends_the_stream_while_the_connection_stays_open() -> None:
    async def step(wire: Wire) -> None:
        wire.writer.write(message(b"", headers=CHUNKED) + chunk(FIRST + b"\ndata: [DONE]\n\n"))
        await wire.reader.read()

    states = await states_of(step)

    assert [state.output for state in states] == [{}]


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b'data: {"event: ": 1}', b'{"event: ": 1}'),
        (b"data:x", b"x"),
        (b"data:", b""),
        (b": ping", b""),
        (b"event: done", b""),
        (b"id:7", b""),
        (b"retry: 5", b""),
        (b"  \r", b""),
        (b"\xef\xbb\xbf", b""),
    ],
)
def test_event_data_returns_the_data_of_a_line(line: bytes, data: bytes) -> None:
    assert event_data(line) == data


def test_is_keep_alive_recognises_comments() -> None:
    assert [is_keep_alive(line) for line in (b": ping", b" :", b"", b"data: :", b"event: a")] == [True, True] + [
        False
    ] * 3


async def test_a_key_echoed_on_a_line_is_redacted() -> None:
    line = b'{"id": "extr_1", "status": "in_progress", "output": {"a": "KEY"}}\n'
    (state,) = await states_of(streamed(line.replace(b"KEY", KEY.encode())))

    assert state.output == {"a": "***"}


# Timeouts


@pytest.mark.parametrize("filler", [b"\n", b"data:\n\n", b"event: x\n"], ids=["blank", "no data", "event"])
async def test_lines_without_data_count_towards_the_timeout(filler: bytes) -> None:
    step = drip(message(b"", headers=CHUNKED) + chunk(FIRST + b"\n"), chunk(filler), 0.02)
    began = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"no answer within 0\.3 s"):
        await states_of(step, timeout=0.3)

    assert time.monotonic() - began < 2


async def test_comments_keep_a_silent_stream_open() -> None:
    async def step(wire: Wire) -> None:
        wire.writer.write(message(b"", headers=CHUNKED) + chunk(FIRST + b"\n"))
        for _ in range(12):
            await asyncio.sleep(0.05)
            wire.writer.write(chunk(b": ping\n\n"))
        wire.writer.write(chunk(LAST + b"\n") + b"0\r\n\r\n")

    states = await states_of(step, timeout=0.3)

    assert [state.output for state in states] == [{}, {"name": "Ada"}]


async def test_comments_alone_do_not_keep_a_stream_open_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_lines, "_MAX_SILENCE", 0.6)
    step = drip(message(b"", headers=CHUNKED) + chunk(FIRST + b"\n"), chunk(b": ping\n"), 0.02)
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        await states_of(step, timeout=0.3)

    assert 0.5 < time.monotonic() - began < 3


# Fairness


async def lag_during(step: Step) -> float:
    """Return the worst delay of the event loop, in seconds of CPU, while a client reads a stream for half a second."""
    worst, last = 0.0, time.thread_time()

    async def measure() -> None:
        nonlocal worst, last
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            worst, last = max(worst, now - last), now

    async def read(url: str) -> None:
        async with client_for(url, retry=ONCE, timeout=5) as client, client.extractions.stream(**REQUEST) as states:
            async for _ in states:
                pass

    async with raw_server(step) as server:
        task = asyncio.ensure_future(measure())
        reader = asyncio.ensure_future(read(server.url))
        await asyncio.sleep(0.5)
        reader.cancel()
        task.cancel()
        await asyncio.wait([reader, task])
    return worst


@pytest.mark.slow
@pytest.mark.parametrize(
    "filler", [b"\n" * 2_000_000, b": p\n" * 500_000, (FIRST + b"\n") * 20_000], ids=["blank", "comments", "states"]
)
async def test_lines_at_full_speed_do_not_starve_the_loop(filler: bytes) -> None:
    # Compressed, because aiohttp holds more of it than it reads at a time.
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(filler) + packer.flush(zlib.Z_FULL_FLUSH)
    head = message(b"", headers=CHUNKED | {"Content-Encoding": "gzip"})

    assert await lag_during(drip(head + chunk(start), chunk(block), 0)) < 0.25
