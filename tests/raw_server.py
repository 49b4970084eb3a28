"""A server of raw sockets on loopback that answers each request with a scripted step."""

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


class Early(NamedTuple):
    """A step that is taken after the first `after` bytes of a request."""

    step: Step
    after: int = 0


class RawServer:
    """Answers the n-th request with the n-th step, and all later ones with the last step.

    A request that is dealt with early is not among the `requests`, but counts among those that are `broken`.
    """

    def __init__(self, steps: tuple[Step | Early, ...]) -> None:
        self.steps = steps
        self.connections = 0
        self.broken = 0
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
            while not writer.is_closing() and (request := await self._read(reader)):
                self.requests.append(request)
                step = self.steps[min(len(self.requests) + self.broken, len(self.steps)) - 1]
                if isinstance(step, Early):
                    self.requests.pop()
                    self.broken += 1
                    step = step.step
                self.asked.set()
                await step(Wire(reader, writer, request))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as some tests want it to
        finally:
            self.open.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> RawRequest | None:
        step = self.steps[min(len(self.requests) + self.broken, len(self.steps) - 1)]
        if isinstance(step, Early):
            return RawRequest("", "", {}, await reader.readexactly(step.after))
        return await _read_request(reader)

    async def hang_up(self) -> None:
        for writer in list(self.open):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


@asynccontextmanager
async def raw_server(*steps: Step | Early, ssl: SSLContext | None = None) -> AsyncIterator[RawServer]:
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
    """Serve from a thread with its own event loop, for tests that use several loops."""
    started: Future[tuple[RawServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        finished = asyncio.Event()
        async with raw_server(*steps) as server:
            started.set_result((server, asyncio.get_running_loop(), finished))
            await finished.wait()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop, finished = started.result(60)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(finished.set)
        thread.join(60)


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
    data = {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in data.items() if value)
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1") + body


def reply(body: Any = b"", status: int = 200, headers: dict[str, str] | None = None) -> Step:
    """Answer, and keep the connection; anything but bytes is sent as JSON, a run as the run that was asked for."""

    async def step(wire: Wire) -> None:
        run_id = _run_id(wire.request)
        value = {**body, "id": run_id} if isinstance(body, dict) and "id" in body and run_id else body
        wire.writer.write(message(value if isinstance(value, bytes) else json.dumps(value).encode(), status, headers))
        await wire.writer.drain()

    return step


def _run_id(request: RawRequest) -> str:
    path = request.target.partition("?")[0]
    last = path.removesuffix("/cancel").rpartition("/")[2]
    return last if "_" in last and (request.method == "GET" or path.endswith("/cancel")) else ""


def _say(data: bytes) -> Step:
    async def step(wire: Wire) -> None:
        wire.writer.write(data)
        await wire.writer.drain()

    return step


def say_and_close(data: bytes) -> Step:
    """Send these bytes and no others, then close."""

    async def step(wire: Wire) -> None:
        wire.writer.write(data)
        wire.writer.close()

    return step


def say_and_stall(data: bytes) -> Step:
    """Send these bytes, then nothing, until the client goes away."""

    async def step(wire: Wire) -> None:
        wire.writer.write(data)
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


def later(step: Step, seconds: float = 0.1) -> Step:
    """Take a step `seconds` later."""

    async def wait(wire: Wire) -> None:
        await asyncio.sleep(seconds)
        await step(wire)

    return wait


def say_and_reset(data: bytes) -> Step:
    """Send these bytes, then close so that the client sees a reset after them."""

    async def step(wire: Wire) -> None:
        wire.writer.write(data)
        await asyncio.sleep(0.02)
        await reset(wire)

    return step


def drip(data: bytes, drop: bytes = b" ", every: float = 0.02) -> Step:
    """Send these bytes, then one more drop again and again, until the client goes away."""

    async def step(wire: Wire) -> None:
        wire.writer.write(data)
        while not wire.writer.is_closing():
            wire.writer.write(drop)
            await wire.writer.drain()
            await asyncio.sleep(every)

    return step


async def until(come_true: Callable[[], bool]) -> None:
    """Wait until a condition holds that another task brings about."""
    async with asyncio.timeout(60):
        while not come_true():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


@asynccontextmanager
async def blackhole() -> AsyncIterator[str]:
    """Give the address of a server that accepts no connection, and whose backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 - the one argument of socket's own
            one.connect_ex(listening.getsockname())
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


def tunnel(to: RawServer) -> Step:
    """Be the proxy that CONNECTs to a server."""

    async def step(wire: Wire) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
        wire.writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_pour(wire.reader, writer), _pour(reader, wire.writer))

    return step


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
    except ConnectionError:
        pass  # either side may break it off
    finally:
        writer.close()


def unused_port() -> int:
    """Return a closed port of loopback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
