"""Cost of a cancel relative to hand-written aiohttp, on the stock loop and on uvloop.

    python benchmarks/bench_cancel.py [--short] [--json FILE] [--rounds 20] [--calls 1000] [--loops asyncio uvloop]

Contestants: hand-written aiohttp, the transport alone, `splits.cancel`, and as the limit a bare protocol that reads
nothing but its own server's answers; the official client, if `retab` is installed, with all fields only: it raises on
three. Each answer (three fields, all fields, gzip, chunked) is cancelled with 50 in flight, three fields also with 1,
8 and 200.

The server has its own process, each contestant eight, which take turns: the layout of its memory makes one process a
tenth faster than another. In each round every contestant runs one block of calls, in shuffled order. Ratios compare
blocks of one round; the figures are medians over all rounds. Memory is what Python allocates for 100 connections, idle,
and at most while all are busy.
"""

import argparse
import asyncio
import gc
import importlib.util
import itertools
import json
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Call = Callable[[str], Awaitable[object]]
# Makes a number of calls, of which a number are in flight at once.
Block = Callable[[int, int], Awaitable[object]]

KEY = "sk_benchmark_0123456789"
BY_HAND, BARE, OFFICIAL, BULK = "aiohttp by hand", "bare protocol", "official", "cancel_many"
CONNECTIONS = 100
PROCESSES = 8


class Scenario(NamedTuple):
    """What is measured at once: an answer of the server, and the calls in flight."""

    answer: str
    in_flight: int


SCENARIOS = [Scenario(answer, 50) for answer in ("three", "full", "gzip", "chunked")]
SCENARIOS += [Scenario("three", in_flight) for in_flight in (1, 8, 200)]


@asynccontextmanager
async def by_hand(url: str) -> AsyncIterator[Call]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Api-Key": KEY}) as session:

        async def call(run_id: str) -> object:
            async with session.post(f"{url}/v1/splits/{run_id}/cancel") as response:
                return await response.json()

        yield call


@asynccontextmanager
async def transport(url: str) -> AsyncIterator[Call]:
    from retab_async import AsyncRetab
    from retab_async.protocol import Request

    async with AsyncRetab(KEY, base_url=url, max_connections=1000) as client:
        send, deadline = client.splits._api.transport.send, client.splits._api.transport.deadline  # noqa: SLF001 - what is measured

        async def call(run_id: str) -> object:
            return await send(Request("POST", f"/v1/splits/{run_id}/cancel"), deadline())

        yield call


@asynccontextmanager
async def cancel(url: str) -> AsyncIterator[Call]:
    from retab_async import AsyncRetab

    async with AsyncRetab(KEY, base_url=url, max_connections=1000) as client:
        yield client.splits.cancel


@asynccontextmanager
async def official(url: str) -> AsyncIterator[Call]:
    import retab

    async with retab.AsyncRetab(api_key=KEY, base_url=url) as client:
        yield client.splits.create_split_cancel


@asynccontextmanager
async def cancel_many(url: str) -> AsyncIterator[Block]:
    from retab_async import AsyncRetab

    async with AsyncRetab(KEY, base_url=url, max_connections=1000) as client:

        async def run(calls: int, in_flight: int) -> None:
            ids = (f"splt_{number:08d}" for number in range(calls))
            report = await client.splits.cancel_many(ids, concurrency=in_flight)
            assert report.counts["cancelled"] == calls  # type: ignore[index]

        yield run


class BareProtocol(asyncio.BufferedProtocol):
    """One request at a time; any bytes are the whole answer."""

    buffer = memoryview(bytearray(65536))
    waiter: "asyncio.Future[bytes]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.waiter.set_result(bytes(self.buffer[:nbytes]))


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Call]:
    loop = asyncio.get_running_loop()
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 80)
    idle: list[BareProtocol] = []
    head = (
        f" HTTP/1.1\r\nHost: {host}:{port}\r\nApi-Key: {KEY}\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n"
    )

    async def call(run_id: str) -> object:
        wire = idle.pop() if idle else (await loop.create_connection(BareProtocol, host, port))[1]
        wire.waiter = loop.create_future()
        wire.transport.write(f"POST /v1/splits/{run_id}/cancel{head}".encode())
        answer = await wire.waiter
        idle.append(wire)
        return answer

    yield call
    for wire in idle:
        wire.transport.close()


CONTESTANTS: dict[str, Callable[[str], AbstractAsyncContextManager[Call]]] = {
    BY_HAND: by_hand,
    "transport alone": transport,
    "splits.cancel": cancel,
    BARE: bare,
    OFFICIAL: official,
}


@asynccontextmanager
async def opened_block(name: str, url: str) -> AsyncIterator[Block]:
    if name == BULK:
        async with cancel_many(url) as run:
            yield run
        return
    async with CONTESTANTS[name](url) as call:

        async def pool(calls: int, in_flight: int) -> None:
            numbers = iter(range(calls))

            async def work() -> None:
                for number in numbers:
                    await call(f"splt_{number:08d}")

            async with asyncio.TaskGroup() as tasks:
                for _ in range(in_flight):
                    tasks.create_task(work())

        yield pool


async def contend(name: str) -> None:
    """Run the blocks requested on stdin, `URL CALLS IN_FLIGHT` per line, and print the figures of each."""
    opened: dict[str, Block] = {}
    async with AsyncExitStack() as stack:
        while line := await asyncio.to_thread(sys.stdin.readline):
            url, calls, in_flight = line.split()
            if int(calls) == 0:
                figures = await memory(opened_block(name, url), int(in_flight))
            else:
                if url not in opened:
                    opened[url] = await stack.enter_async_context(opened_block(name, url))
                figures = await timed(opened[url], int(calls), int(in_flight))
            print(json.dumps(figures), flush=True)


async def timed(run: Block, calls: int, in_flight: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await run(calls, in_flight)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rate": calls / wall, "cpu": cpu / calls * 1e6}


async def memory(opening: AbstractAsyncContextManager[Block], connections: int) -> dict[str, float]:
    async with opening as run:
        await run(1, 1)
        gc.collect()
        tracemalloc.start()
        for _ in range(2):
            await run(connections, connections)
        _, busy = tracemalloc.get_traced_memory()
        gc.collect()
        idle, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {"idle": idle / 1024, "busy": busy / 1024}


class Contestant:
    """One contestant in its own process."""

    def __init__(self, name: str, loop: str) -> None:
        arguments = [sys.executable, __file__, "--contend", name, "--loops", loop]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, url: str, calls: int, in_flight: int) -> dict[str, float]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        print(url, calls, in_flight, file=stdin, flush=True)
        figures: dict[str, float] = json.loads(stdout.readline())
        return figures

    def end(self) -> None:
        self.process.communicate()


class Contest:
    """Some contestants on one event loop, and the server of each answer."""

    def __init__(self, names: list[str], loop: str, urls: dict[str, str], options: argparse.Namespace) -> None:
        self.loop = loop
        self.urls = urls
        self.options = options
        self.contestants = {name: [Contestant(name, loop) for _ in range(PROCESSES)] for name in names}

    def measure(self, scenario: Scenario) -> list[dict[str, Any]]:
        names = [name for name in self.contestants if name != OFFICIAL or scenario == Scenario("full", 50)]
        url, calls = self.urls[scenario.answer], self.options.calls
        sizes = {name: calls // 5 if name == OFFICIAL or scenario.in_flight == 1 else calls for name in names}
        for name in names:
            for contestant in self.contestants[name]:
                # The first block opens the connections and warms the interpreter's caches.
                contestant.run(url, max(scenario.in_flight, sizes[name]), scenario.in_flight)
        rounds = []
        for number in range(self.options.rounds):
            order = random.sample(names, len(names))
            contestants = {name: self.contestants[name][number % PROCESSES] for name in order}
            rounds.append({name: contestants[name].run(url, sizes[name], scenario.in_flight) for name in order})
        return [self.row(scenario, name, rounds) for name in names]

    def row(self, scenario: Scenario, name: str, rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
        def median(figure: Callable[[dict[str, dict[str, float]]], float]) -> float:
            return statistics.median(map(figure, rounds))

        return {
            "loop": self.loop,
            **scenario._asdict(),
            "contestant": name,
            "rate": median(lambda each: each[name]["rate"]),
            "ratio": median(lambda each: each[name]["rate"] / each[BY_HAND]["rate"]),
            "cpu": median(lambda each: each[name]["cpu"]),
            "cpu_ratio": median(lambda each: each[BY_HAND]["cpu"] / each[name]["cpu"]),
        }

    @cached_property
    def memory(self) -> list[dict[str, Any]]:
        names = (BY_HAND, "splits.cancel")
        figures = {name: self.contestants[name][0].run(self.urls["three"], 0, CONNECTIONS) for name in names}
        return [{"loop": self.loop, "contestant": name, "connections": CONNECTIONS} | figures[name] for name in names]

    def end(self) -> None:
        for contestant in itertools.chain.from_iterable(self.contestants.values()):
            contestant.end()


@contextmanager
def serving(*answers: str) -> Iterator[dict[str, str]]:
    arguments = [sys.executable, str(Path(__file__).with_name("server.py")), *answers]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield {answer: f"http://127.0.0.1:{server.stdout.readline().strip()}" for answer in answers}
        server.kill()


def compare(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    results: dict[str, list[dict[str, Any]]] = {"cancel": [], "memory": []}
    names = [name for name in CONTESTANTS if name != OFFICIAL or importlib.util.find_spec("retab")]
    with serving("three", "full", "gzip", "chunked") as urls:
        for loop in options.loops:
            contest = Contest(names, loop, urls, options)
            for scenario in SCENARIOS:
                rows = contest.measure(scenario)
                results["cancel"] += rows
                show(rows)
            results["memory"] += contest.memory
            for row in contest.memory:
                print(f"{row['contestant']:<18}{row['connections']} connections: {row['idle']:.0f} KiB idle, ", end="")
                print(f"{row['busy']:.0f} KiB busy")
            contest.end()
    return results


def show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{rows[0]['loop']}, {rows[0]['answer']}, {rows[0]['in_flight']} in flight")
    print(f"{'':<18}{'calls/s':>9}{'to aiohttp':>12}{'CPU us/call':>13}{'to aiohttp':>12}")
    for row in rows:
        figures = f"{row['rate']:>9.0f}{row['ratio']:>12.2f}{row['cpu']:>13.1f}{row['cpu_ratio']:>12.2f}"
        print(f"{row['contestant']:<18}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few rounds: some 40 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--loops", nargs="+", default=["asyncio", "uvloop"])
    parser.add_argument("--contend", help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.contend:
        import uvloop

        (uvloop if options.loops == ["uvloop"] else asyncio).run(contend(options.contend))
        return
    options.rounds = options.rounds or (6 if options.short else 20)
    options.calls = options.calls or 1000
    results = compare(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
