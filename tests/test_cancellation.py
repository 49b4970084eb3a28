"""Calls cancelled while the server stalls: the cancellation is raised and the pool is clean.

`test_cancelled_everywhere` cancels at every suspension point of calls that succeed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from clients import client_for, connections_in_use
from payloads import BARE_SPLIT, SPLIT_ID
from raw_server import Step, blackhole, message, raw_server, reply, say_and_stall, stall, until

from retab_async import AsyncRetab

pytestmark = pytest.mark.usefixtures("connection_path")

Call = Callable[[AsyncRetab], Awaitable[Any]]
Phase = Callable[[AsyncRetab], Awaitable[None]]

CALLS: dict[str, Call] = {
    "splits.cancel": lambda client: client.splits.cancel(SPLIT_ID),
    "splits.get": lambda client: client.splits.get(SPLIT_ID),
}

# The first step of the server, for each phase in which a call is cancelled.
PHASES: dict[str, Step] = {
    "waiting for the headers": stall,
    "inside the headers": say_and_stall(b"HTTP/1.1 200 OK\r\nContent-"),
    "inside the body": say_and_stall(message(b'{"id": ', headers={"Content-Length": "500"})),
    "inside a chunk": say_and_stall(
        message(b'5\r\n{"id"', headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    ),
    "inside an error's body": say_and_stall(message(b"<html>", 502, {"Content-Length": "500"})),
    "before a retry": reply(b"", 503, {"Retry-After": "1"}),
}

ok = reply(BARE_SPLIT)


async def _in_progress(task: "asyncio.Task[Any]", asked: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await asked.wait()
    await asyncio.sleep(0.03)

    assert not task.done()


async def _expire(timer: asyncio.Timeout, asked: asyncio.Event) -> None:
    """End a timeout shortly after the request has arrived, however long its connection took."""
    await asked.wait()
    await asyncio.sleep(0.03)
    timer.reschedule(asyncio.get_running_loop().time())


async def _is_clean(client: AsyncRetab, call: Call) -> None:
    """The pool has no connection in use, and the next call works."""
    assert connections_in_use(client) == 0
    async with asyncio.timeout(60):
        assert (await call(client)).status == "cancelled"
    assert connections_in_use(client) == 0


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_cancelled_call_leaves_no_connection_in_use(call: Call, phase: Step) -> None:
    async with raw_server(phase, ok) as server, client_for(server.url, max_connections=1) as client:
        task = asyncio.ensure_future(call(client))
        await _in_progress(task, server.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await _is_clean(client, call)
        assert len(server.requests) == 2


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
@pytest.mark.parametrize("method", ["cancel", "get"])
async def test_a_timeout_of_the_caller_ends_a_call(method: str, phase: Step) -> None:
    call = CALLS[f"splits.{method}"]
    async with raw_server(phase, ok) as server, client_for(server.url, max_connections=1) as client:
        with pytest.raises(TimeoutError) as caught:  # noqa: PT012 - the block is what is shown
            async with asyncio.timeout(None) as timer:
                expiry = asyncio.ensure_future(_expire(timer, server.asked))
                await call(client)

        await expiry
        assert type(caught.value) is TimeoutError
        await _is_clean(client, call)


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
@pytest.mark.parametrize("method", ["cancel", "get"])
async def test_a_task_group_that_fails_ends_the_calls_in_it(method: str, phase: Step) -> None:
    call = CALLS[f"splits.{method}"]

    async def fail(asked: asyncio.Event) -> None:
        await asked.wait()
        raise ZeroDivisionError

    async def run(client: AsyncRetab) -> None:
        await call(client)

    async with raw_server(phase, ok) as server, client_for(server.url, max_connections=1) as client:
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block is what is shown
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(run(client))
                group.create_task(fail(server.asked))

        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
        await _is_clean(client, call)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_cancelled_while_connecting_leaves_no_connection_in_use(call: Call) -> None:
    async with blackhole() as url, client_for(url, max_connections=1) as client:
        task = asyncio.ensure_future(call(client))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert connections_in_use(client) == 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_cancelled_during_the_tls_handshake_leaves_no_connection_in_use(call: Call) -> None:
    greeted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with client_for(f"https://127.0.0.1:{port}", max_connections=1) as client:
            task = asyncio.ensure_future(call(client))
            await _in_progress(task, greeted)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert connections_in_use(client) == 0
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_cancelled_while_it_waits_for_a_free_connection_leaves_the_others_alone(call: Call) -> None:
    answered = asyncio.Event()

    async def late(wire: Any) -> None:
        await answered.wait()
        await ok(wire)

    async with raw_server(late, ok) as server, client_for(server.url, max_connections=1) as client:
        first = asyncio.ensure_future(client.splits.cancel("splt_1"))
        await server.asked.wait()
        waiting = asyncio.ensure_future(call(client))
        await asyncio.sleep(0.03)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        answered.set()
        run = await first

        assert run.status == "cancelled"
        assert len(server.requests) == 1
        await _is_clean(client, call)


async def test_a_call_cancelled_before_its_start_sends_nothing() -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        task = asyncio.ensure_future(client.splits.cancel(SPLIT_ID))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert server.connections == 0


async def test_a_hundred_cancelled_calls_leave_no_connection_in_use() -> None:
    async with raw_server(ok) as server, client_for(server.url, max_connections=10) as client:
        tasks = [asyncio.ensure_future(client.splits.cancel(f"splt_{number}")) for number in range(100)]
        for number, task in enumerate(tasks):
            if number % 3:
                await asyncio.sleep(0)
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert {getattr(outcome, "status", type(outcome)) for outcome in outcomes} <= {
            "cancelled",
            asyncio.CancelledError,
        }
        await _is_clean(client, CALLS["splits.get"])


@pytest.mark.parametrize(
    "end", [AsyncRetab.aclose, lambda client: client.__aexit__(None, None, None)], ids=["aclose", "aexit"]
)
async def test_a_cancelled_close_raises_and_can_be_repeated(end: Call) -> None:
    async with raw_server(ok) as server:
        client = client_for(server.url)
        await client.splits.cancel(SPLIT_ID)
        connector = client._pool.session().connector
        assert connector is not None
        closing = asyncio.ensure_future(end(client))
        await asyncio.sleep(0)
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await client.aclose()

        assert connector.closed
        assert connector._acquired == set()
        await until(lambda: not server.open)


async def test_a_call_cancelled_during_aclose_raises_cancelled_error() -> None:
    async with raw_server(stall) as server, client_for(server.url, max_connections=1) as client:
        first = asyncio.ensure_future(client.splits.cancel("splt_1"))
        await server.asked.wait()
        waiting = asyncio.ensure_future(client.splits.cancel("splt_2"))
        await asyncio.sleep(0.03)
        waiting.cancel()
        await client.aclose()
        outcomes = await asyncio.gather(first, waiting, return_exceptions=True)

        assert isinstance(outcomes[1], asyncio.CancelledError)
