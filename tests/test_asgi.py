"""ASGI messages: how `until_disconnect` reacts to each, and what it leaves behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from virtual_time import Clock, in_virtual_time

from retab_async import RetabError, TerminatedError
from retab_async.integrations.asgi import (
    ClientGoneError,
    TerminationMiddleware,
    client_gone,
    terminated,
    until_disconnect,
)
from retab_async.testing import cancel_everywhere

GONE = {"type": "http.disconnect"}
EMPTY = {"type": "http.request"}


class Channel:
    """The `receive` of a server; without a message it waits.

    Attributes:
        receive: The channel itself, so that it can stand for a request.
    """

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.queue.put_nowait(message)
        self.receive = self

    async def __call__(self) -> dict[str, Any]:
        return await self.queue.get()


def watchers() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "until_disconnect" in task.get_name()]


async def test_disconnect_ends_the_block_with_client_gone_error() -> None:
    channel = Channel()
    asyncio.get_running_loop().call_later(0.001, channel.queue.put_nowait, GONE)

    with pytest.raises(ClientGoneError, match="has disconnected") as caught:
        async with until_disconnect(channel):
            await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert (task.cancelling(), watchers()) == (0, [])
    assert isinstance(caught.value, RetabError)


def test_disconnect_ends_the_block_without_polling() -> None:
    async def scenario(clock: Clock) -> float:
        channel = Channel()
        asyncio.get_running_loop().call_later(3, channel.queue.put_nowait, GONE)
        start = clock()
        with pytest.raises(ClientGoneError):
            async with until_disconnect(channel):
                await asyncio.sleep(3600)
        return clock() - start

    assert in_virtual_time(scenario) == 3


async def test_receive_callable_is_accepted_in_place_of_a_request() -> None:
    async def receive() -> dict[str, Any]:
        return GONE

    with pytest.raises(ClientGoneError):
        async with until_disconnect(receive):
            await asyncio.Event().wait()


async def test_disconnect_before_the_block_does_not_enter_it() -> None:
    entered: list[bool] = []

    async def gone() -> dict[str, Any]:
        return GONE

    with pytest.raises(ClientGoneError):
        async with until_disconnect(gone):
            entered.append(True)

    assert (entered, watchers()) == ([], [])


async def test_block_that_completes_raises_nothing_and_leaves_no_task() -> None:
    channel = Channel(EMPTY)
    async with until_disconnect(channel):
        await asyncio.sleep(0)
    channel.queue.put_nowait(GONE)

    await asyncio.sleep(0)
    assert watchers() == []
    assert channel.queue.get_nowait() == GONE


@pytest.mark.parametrize(
    "message", [{"type": "http.request", "body": b"%"}, {"type": "http.request", "more_body": True}]
)
async def test_part_of_the_body_raises_runtime_error(message: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="read the body of the request before until_disconnect"):
        async with until_disconnect(Channel(EMPTY, message)):
            await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["websocket.connect", "websocket.receive", "websocket.disconnect"])
async def test_websocket_raises_runtime_error(kind: str) -> None:
    with pytest.raises(RuntimeError, match=f"is for HTTP requests, and received {kind}"):
        async with until_disconnect(Channel({"type": kind})):
            await asyncio.Event().wait()


async def test_failure_to_receive_ends_the_block() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        async with until_disconnect(receive):
            await asyncio.Event().wait()


@pytest.mark.parametrize("disconnect_first", [True, False])
async def test_cancellation_of_the_task_at_the_same_time_takes_precedence(*, disconnect_first: bool) -> None:
    channel = Channel()
    entered = asyncio.Event()

    async def handler() -> None:
        async with until_disconnect(channel):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(handler())
    await entered.wait()
    if disconnect_first:
        channel.queue.put_nowait(GONE)
        # The watcher cancels the task, which has not run since.
        await asyncio.sleep(0)
    else:
        asyncio.get_running_loop().call_soon(channel.queue.put_nowait, GONE)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    await asyncio.sleep(0)
    assert watchers() == []


async def test_timeouts_inside_and_outside_of_the_block_work() -> None:
    with pytest.raises(TimeoutError):
        async with until_disconnect(Channel()), asyncio.timeout(0.001):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001), until_disconnect(Channel()):
            await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert (task.cancelling(), watchers()) == (0, [])


async def test_disconnect_inside_a_timeout_is_a_disconnect() -> None:
    with pytest.raises(ClientGoneError):
        async with asyncio.timeout(60), until_disconnect(Channel(GONE)), asyncio.timeout(60):
            await asyncio.Event().wait()


async def test_cancelled_anyio_scope_ends_the_block() -> None:
    with anyio.move_on_after(0.001) as scope:
        async with until_disconnect(Channel()):
            await anyio.sleep(60)

    assert scope.cancelled_caught
    await asyncio.sleep(0)
    assert watchers() == []


async def test_disconnect_inside_an_anyio_task_group_raises_client_gone_error() -> None:
    async def handler() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            async with until_disconnect(Channel(GONE)):
                await anyio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        await handler()

    assert [type(error) for error in caught.value.exceptions] == [ClientGoneError]


async def test_block_can_be_cancelled_everywhere() -> None:
    def check() -> None:
        assert len(watchers()) <= 1

    async def handler() -> None:
        async with until_disconnect(Channel(EMPTY)):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert await cancel_everywhere(handler, check=check) >= 4
    await asyncio.sleep(0)
    assert watchers() == []


async def test_generator_that_is_closed_inside_the_block_leaves_no_task() -> None:
    async def dependency() -> AsyncIterator[None]:
        async with until_disconnect(Channel()):
            yield

    async with aclosing(dependency()) as generator:  # type: ignore[type-var]
        await anext(generator)
        assert len(watchers()) == 1

    assert watchers() == []


@pytest.mark.parametrize(("handler", "status"), [(client_gone, 499), (terminated, 503)])
async def test_exception_handler_sends_an_empty_response_in_every_framework(handler: Any, status: int) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    response = handler(object(), RetabError())
    await response.to_asgi_response(app=None, request=object())({}, Channel(), send)

    assert response.status_code == sent[0]["status"] == status
    assert sent[1]["body"] == b""


@pytest.mark.parametrize("body", [b"", b"%PDF"])
async def test_httpx_test_client_of_a_connected_request_sees_no_disconnect(body: bytes) -> None:
    applications = pytest.importorskip("starlette.applications")
    httpx = pytest.importorskip("httpx")
    transport = httpx.ASGITransport(starlette_app(applications))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post("/split", content=body)

    assert (response.status_code, response.text) == (200, f"{len(body)}")


def starlette_app(applications: Any) -> Any:
    from starlette.responses import PlainTextResponse  # noqa: PLC0415 - may not be installed
    from starlette.routing import Route  # noqa: PLC0415 - may not be installed

    async def split(request: Any) -> PlainTextResponse:
        # The block receives the empty body of a GET, which nothing has read.
        document = await request.body() if request.method == "POST" else b""
        async with until_disconnect(request):
            await asyncio.sleep(0.05)
            return PlainTextResponse(str(len(document)))

    return applications.Starlette(routes=[Route("/split", split, methods=["POST", "GET"])])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_starlette_test_client_sees_no_disconnect(method: str) -> None:
    applications = pytest.importorskip("starlette.applications")
    testclient = pytest.importorskip("starlette.testclient")
    with testclient.TestClient(starlette_app(applications)) as client:
        response = client.request(method, "/split")

    assert (response.status_code, response.text) == (200, "0")


@pytest.mark.slow
def test_litestar_test_client_sees_no_disconnect() -> None:
    litestar = pytest.importorskip("litestar")
    testing = pytest.importorskip("litestar.testing")

    async def split(request: Any) -> Any:
        document = await request.body()
        async with until_disconnect(request):
            await asyncio.sleep(0.05)
            return {"size": len(document)}

    split.__annotations__ = {"request": litestar.Request, "return": dict[str, int]}
    with testing.TestClient(litestar.Litestar([litestar.post("/split")(split)])) as client:
        response = client.post("/split", content=b"%PDF")

    assert response.json() == {"size": 4}


@pytest.fixture
def harmless_sigterm() -> Iterator[list[int]]:
    """A handler of SIGTERM that records it, as the one of a server."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


class Responses(list[dict[str, Any]]):
    """The `send` of a server, with the messages that it got."""

    async def __call__(self, message: Any) -> None:
        self.append(message)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def test_middleware_answers_503_when_sigterm_arrives_during_the_body(harmless_sigterm: list[int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    asyncio.get_running_loop().call_later(0.001, sigterm)
    sent = Responses()
    before = signal.getsignal(signal.SIGTERM)

    await TerminationMiddleware(app)({"type": "http"}, Channel(), sent)

    assert [message.get("status") for message in sent] == [503, None]
    assert harmless_sigterm == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


async def test_middleware_does_not_handle_a_request_after_sigterm_in_the_lifespan(harmless_sigterm: list[int]) -> None:
    handled: list[str] = []
    sent = Responses()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        handled.append(scope["type"])
        if scope["type"] == "lifespan":
            sigterm()
            await asyncio.sleep(0)
            await middleware({"type": "http"}, receive, send)

    middleware = TerminationMiddleware(app)
    await middleware({"type": "lifespan"}, Channel(), sent)

    assert (handled, sent[0]["status"], harmless_sigterm) == (["lifespan"], 503, [signal.SIGTERM])
    await middleware({"type": "http"}, Channel(), sent)
    assert handled == ["lifespan", "http"]


async def test_middleware_ends_a_started_response_with_terminated_error(harmless_sigterm: list[int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        sigterm()
        await receive()

    with pytest.raises(TerminatedError):
        await TerminationMiddleware(app)({"type": "http"}, Channel(), Responses())
    assert harmless_sigterm


@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_middleware_leaves_websockets_and_other_threads_alone(kind: str, harmless_sigterm: list[int]) -> None:
    handlers: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    call = TerminationMiddleware(app)
    if kind == "http":
        await asyncio.to_thread(lambda: asyncio.run(call({"type": kind}, Channel(), Responses())))
    else:
        await call({"type": kind}, Channel(), Responses())

    assert (handlers, harmless_sigterm) == ([before], [])


async def test_middleware_can_be_cancelled_everywhere(harmless_sigterm: list[int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def handle() -> None:
        await TerminationMiddleware(app)({"type": "http"}, Channel(GONE), Responses())

    before = signal.getsignal(signal.SIGTERM)
    assert await cancel_everywhere(handle) >= 1
    assert (signal.getsignal(signal.SIGTERM), harmless_sigterm) == (before, [])
