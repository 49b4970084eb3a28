"""ASGI servers on loopback, in the event loop of the test, and a client that disconnects."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SERVERS = ("uvicorn", "hypercorn", "granian")


@asynccontextmanager
async def serving(server: str, app: Any) -> AsyncIterator[int]:
    """Serve an application and yield the port; skip the test if the server is not installed."""
    pytest.importorskip(server, reason=f"{server} is not installed")
    port = free_port()
    async with _SERVE[server](app, port):
        yield port


def free_port() -> int:
    """Return a port that the system gives to no connection: while its server starts, a client must not get it."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def _uvicorn(app: Any, port: int) -> AsyncIterator[None]:
    import uvicorn  # noqa: PLC0415 - may not be installed

    config = uvicorn.Config(app, port=port, ws="none", log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until_listening(port, task)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def _hypercorn(app: Any, port: int) -> AsyncIterator[None]:
    from hypercorn.asyncio import serve  # noqa: PLC0415 - may not be installed
    from hypercorn.config import Config  # noqa: PLC0415 - may not be installed

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 5
    stopped = asyncio.Event()

    async def trigger() -> None:
        await stopped.wait()

    task = asyncio.create_task(serve(app, config, shutdown_trigger=trigger))
    await until_listening(port, task)
    try:
        yield
    finally:
        stopped.set()
        await task


@asynccontextmanager
async def _granian(app: Any, port: int) -> AsyncIterator[None]:
    from granian.constants import Interfaces  # noqa: PLC0415 - may not be installed
    from granian.server.embed import Server  # noqa: PLC0415 - may not be installed

    server: Any = Server(app, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    task = asyncio.create_task(server.serve())
    await until_listening(port, task)
    try:
        yield
    finally:
        server.stop()
        await task


_SERVE = {"uvicorn": _uvicorn, "hypercorn": _hypercorn, "granian": _granian}


async def until_listening(port: int, task: "asyncio.Task[Any] | None" = None) -> None:
    """Wait until a server listens, which runs in the task, or in another process."""
    async with asyncio.timeout(20):
        while True:
            assert task is None or not task.done(), task
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def request(
    port: int,
    path: str,
    body: bytes = b"%PDF",
    *,
    size: int | None = None,
    content_type: str = "application/pdf",
    expect_continue: bool = False,
) -> AsyncIterator[Streams]:
    """Send a POST and yield its connection; leaving the block disconnects.

    Args:
        port: The port of the server.
        path: The path.
        body: The body, or a part of it.
        size: The length to announce; by default that of the body.
        content_type: The type of the body.
        expect_continue: Wait until the application asks for the body, so that its server answers with a 100.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = len(body) if size is None else size
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "connection: close"]
    lines += [f"content-length: {length}", f"content-type: {content_type}"]
    lines += ["expect: 100-continue", "", ""] if expect_continue else ["", ""]
    try:
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        if expect_continue:
            assert await status_of(reader) == 100
            await reader.readline()
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def status_of(reader: asyncio.StreamReader) -> int:
    """Return the status of a response."""
    return int((await reader.readline()).split()[1])
