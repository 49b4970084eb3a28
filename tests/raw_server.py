"""A server of raw sockets on loopback that does with each request exactly what it is told."""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from ssl import SSLContext
from threading import Thread
from typing import Any, NamedTuple


class RawRequest(NamedTuple):
    """A request as its bytes came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Wire(NamedTuple):
    """A connection, and the request on it that is to be answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: RawRequest


Step = Callable[[Wire], Awaitable[None]]


class RawServer:
    """Answers the n-th request with the n-th step, and all later ones with the last step."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self.connections = 0
        self.requests: list[RawRequest] = []
        self.open: set[asyncio.StreamWriter] = set()
        self.asked = asyncio.Event()
        self.url = ""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task() or asyncio.Task(asyncio.sleep(0)))
        self.connections += 1
        self.open.add(writer)
        try:
            while not writer.is_closing() and (request := await _read_request(reader)):
                self.requests.append(request)
                self.asked.set()
                await self.steps[min(len(self.requests), len(self.steps)) - 1](Wire(reader, writer, request))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as some tests want it to
        finally:
            self.open.discard(writer)
            writer.close()

    async def hang_up(self) -> None:
        for writer in list(self.open):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


@asynccontextmanager
async def raw_server(*steps: Step, ssl: SSLContext | None = None) -> AsyncIterator[RawServer]:
    raw = RawServer(steps)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=ssl)
    raw.port = server.sockets[0].getsockname()[1]
    raw.url = f"{'https' if ssl else 'http'}://127.0.0.1:{raw.port}"
    try:
        yield raw
    finally:
        server.close()
        await raw.hang_up()


@contextmanager
def raw_server_beside(*steps: Step) -> Iterator[RawServer]:
    """Serve from a thread with a loop of its own, for tests that come and go with theirs."""
    started: Future[tuple[RawServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with raw_server(*steps) as server:
            started.set_result((server, asyncio.get_running_loop(), over))
            await over.wait()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop, over = started.result(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


async def _read_request(reader: asyncio.StreamReader) -> RawRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return RawRequest(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def message(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """Return the bytes of an answer; a header with an empty value is left out."""
    told = {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
    return f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode("latin-1") + body


def reply(body: Any = b"", status: int = 200, headers: dict[str, str] | None = None) -> Step:
    """Answer, and keep the connection; what is not bytes is sent as JSON."""
    return _say(message(body if isinstance(body, bytes) else json.dumps(body).encode(), status, headers))


def _say(told: bytes) -> Step:
    async def step(wire: Wire) -> None:
        wire.writer.write(told)
        await wire.writer.drain()

    return step


def say_and_close(told: bytes) -> Step:
    """Send these bytes and no others, then close."""

    async def step(wire: Wire) -> None:
        wire.writer.write(told)
        wire.writer.close()

    return step


def say_and_stall(told: bytes) -> Step:
    """Send these bytes, then nothing, until the client goes away."""

    async def step(wire: Wire) -> None:
        wire.writer.write(told)
        await wire.reader.read()

    return step


close_early = say_and_close(b"")
stall = say_and_stall(b"")


async def reset(wire: Wire) -> None:
    """Close so that the client sees a reset."""
    linger = struct.pack("ii", 1, 0)
    wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wire.writer.transport.abort()


def each_run(*steps: Step) -> Step:
    """Answer the n-th request for a run with the n-th step, and all later ones with the last step."""
    asked: Counter[str] = Counter()

    async def step(wire: Wire) -> None:
        run_id = wire.request.target.split("?")[0].removesuffix("/cancel")
        asked[run_id] += 1
        await steps[min(asked[run_id], len(steps)) - 1](wire)

    return step


def drip(told: bytes, drop: bytes = b" ", every: float = 0.02) -> Step:
    """Send these bytes, then one more drop again and again, until the client goes away."""

    async def step(wire: Wire) -> None:
        wire.writer.write(told)
        while not wire.writer.is_closing():
            wire.writer.write(drop)
            await wire.writer.drain()
            await asyncio.sleep(every)

    return step


async def until(come_true: Callable[[], bool]) -> None:
    """Wait for what another task is about to bring about."""
    async with asyncio.timeout(5):
        while not come_true():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


def unused_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
