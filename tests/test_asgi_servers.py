"""Client disconnects on real servers and frameworks: the run is cancelled, and nothing else is left behind."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from aiohttp import web
from asgi_servers import SERVERS, request, serving, status_of
from raw_server import until

from retab_async import AsyncRetab, Subdocument
from retab_async.emulator import Emulator
from retab_async.integrations.asgi import ClientGoneError, client_gone, until_disconnect

pytestmark = pytest.mark.slow

PART = Subdocument("invoice")
Work = Callable[[bytes], Awaitable[str]]


def starlette_app(work: Work) -> Any:
    applications = pytest.importorskip("starlette.applications")
    responses = pytest.importorskip("starlette.responses")
    routing = pytest.importorskip("starlette.routing")

    async def split(request: Any) -> Any:
        document = await request.body()
        async with until_disconnect(request):
            return responses.PlainTextResponse(await work(document))

    route = routing.Route("/split", split, methods=["POST"])
    return applications.Starlette(routes=[route], exception_handlers={ClientGoneError: client_gone})


def starlette_app_with_middleware(work: Work) -> Any:
    base = pytest.importorskip("starlette.middleware.base")
    app = starlette_app(work)

    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app.add_middleware(base.BaseHTTPMiddleware, dispatch=dispatch)
    return app


def fastapi_app(work: Work) -> Any:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI(exception_handlers={ClientGoneError: client_gone})

    async def split(request: Any, document: bytes) -> Any:
        async with until_disconnect(request):
            return {"id": await work(document)}

    split.__annotations__ = {"request": fastapi.Request, "document": Annotated[bytes, fastapi.Body()]}
    app.post("/split")(split)
    return app


def fastapi_app_with_dependency(work: Work) -> Any:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI(exception_handlers={ClientGoneError: client_gone})

    async def connected(request: Any) -> AsyncIterator[None]:
        async with until_disconnect(request):
            yield

    async def split(document: bytes) -> Any:
        return {"id": await work(document)}

    connected.__annotations__ = {"request": fastapi.Request}
    split.__annotations__ = {"document": Annotated[bytes, fastapi.Body()]}
    app.post("/split", dependencies=[fastapi.Depends(connected)])(split)
    return app


def litestar_app(work: Work) -> Any:
    litestar = pytest.importorskip("litestar")

    async def split(request: Any) -> Any:
        document = await request.body()
        async with until_disconnect(request):
            return {"id": await work(document)}

    split.__annotations__ = {"request": litestar.Request, "return": dict[str, str]}
    return litestar.Litestar([litestar.post("/split")(split)], exception_handlers={ClientGoneError: client_gone})


APPS = {
    "starlette": starlette_app,
    "starlette with BaseHTTPMiddleware": starlette_app_with_middleware,
    "fastapi": fastapi_app,
    "fastapi dependency": fastapi_app_with_dependency,
    "litestar": litestar_app,
}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator whose runs finish later than any test."""
    async with Emulator(queued=60, running=60) as running:
        yield running


@pytest.fixture
async def retab(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    """A client of the emulator."""
    async with AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
        yield client


class Handler:
    """The work of a handler, which records how its task ended."""

    def __init__(self, client: AsyncRetab) -> None:
        self.errors: list[BaseException] = []
        self._client = client

    async def work(self, document: bytes) -> str:
        try:
            async with self._client.splits.running(document=document, subdocuments=[PART]) as run:
                return (await run.result(poll_interval=0.01)).id
        except BaseException as error:
            self.errors.append(error)
            raise


@pytest.fixture
def handler(retab: AsyncRetab) -> Handler:
    """The work of a handler."""
    return Handler(retab)


def own_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "until_disconnect" in task.get_name()]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("app", APPS)
async def test_disconnect_cancels_the_run(
    server: str, app: str, emulator: Emulator, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(server, APPS[app](handler.work)) as port:
        async with request(port, "/split"):
            await until(lambda: bool(emulator.active_runs()))

        await until(lambda: not emulator.active_runs())

        assert len(emulator.requests) >= 2
        assert [type(error) for error in handler.errors] == [asyncio.CancelledError]
        await until(lambda: not own_tasks())
    assert [record.message for record in caplog.records if "retab" not in record.name] == []
    assert emulator.requests[-1].path.endswith("/cancel")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("app", APPS)
async def test_connected_client_gets_its_response(server: str, app: str, retab: AsyncRetab) -> None:
    async def work(document: bytes) -> str:
        async with retab.splits.running(document=document, subdocuments=[PART]) as run:
            return (await run.cancel()).id

    async with serving(server, APPS[app](work)) as port, request(port, "/split") as (reader, _):
        assert await status_of(reader) in {200, 201}
        assert b"splt_" in await reader.read()

    assert own_tasks() == []


@pytest.mark.parametrize("server", SERVERS)
async def test_sixty_disconnects_at_different_moments_leave_no_run_active(
    server: str, emulator: Emulator, retab: AsyncRetab
) -> None:
    # Moments are turns of the event loop after what has happened, not seconds, which a busy machine spends waiting.
    entered, created = ([asyncio.Event() for _ in range(60)] for _ in range(2))

    async def work(document: bytes) -> str:
        number = int(document.removeprefix(b"%PDF"))
        entered[number].set()
        async with retab.splits.running(document=document, subdocuments=[PART]) as run:
            created[number].set()
            return (await run.result(poll_interval=0.01)).id

    async def disconnect(port: int, number: int) -> None:
        async with request(port, "/split", b"%%PDF%d" % number):
            if number % 3:
                await (entered if number % 3 == 1 else created)[number].wait()
            for _ in range(number // 3):
                await asyncio.sleep(0)

    async with serving(server, starlette_app(work)) as port, asyncio.timeout(60):
        await asyncio.gather(*(disconnect(port, number) for number in range(60)))
        await until(lambda: not own_tasks() and not emulator.active_runs())
        await retab.aclose()

    assert emulator.active_runs() == []
    assert own_tasks() == []
    assert sum(each.method == "POST" and each.path == "/v1/splits" for each in emulator.requests) >= 20


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("arrives", ["before the block", "inside the block"])
async def test_body_that_was_not_read_raises_an_error_instead_of_being_consumed(server: str, arrives: str) -> None:
    errors: list[RuntimeError] = []
    entered, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await complete_lifespan(receive, send)
            return
        try:
            async with until_disconnect(receive):
                entered.set()
                await asyncio.sleep(60)
        except RuntimeError as error:
            errors.append(error)
        entered.set()
        left.set()
        await client_gone(None, ClientGoneError())(scope, receive, send)

    async with serving(server, app) as port, asyncio.timeout(20):
        body = b"%PDF" if arrives == "before the block" else b""
        async with request(port, "/", body, size=4) as (reader, writer):
            await entered.wait()
            writer.write(b"%PDF"[len(body) :])
            await left.wait()
            assert await status_of(reader) == 499

    assert [str(error)[:37] for error in errors] == ["read the body of the request before u"]


async def complete_lifespan(receive: Any, send: Any) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def test_disconnect_cancels_the_run_of_aiohttp_web_with_handler_cancellation(
    emulator: Emulator, handler: Handler
) -> None:
    async def split(request: web.Request) -> web.Response:
        return web.Response(text=await handler.work(await request.read()))

    app = web.Application()
    app.router.add_post("/split", split)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with request(runner.addresses[0][1], "/split"):
            await until(lambda: bool(emulator.active_runs()))

        await until(lambda: not emulator.active_runs())
    finally:
        await runner.cleanup()

    assert [type(error) for error in handler.errors] == [asyncio.CancelledError]
