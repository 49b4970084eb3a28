"""Cost of a cancel: hand-written aiohttp, the transport alone, `splits.cancel`, and the official client.

    python benchmarks/bench_cancel.py [--rounds 20] [--generations 3] [--calls 1000] [--concurrency 50]

The server and each contestant have their own processes; in each round every contestant runs one block of calls, in
shuffled order. A round's ratios compare blocks that ran seconds apart; the printed figures are medians over all rounds.
The processes are restarted a few times (generations), because the memory layout of a process affects its speed. Peak
memory is that of the contestant's process. The official client takes part if `retab` is installed, and only with the
response of all fields: it raises on the one of three fields.
"""

import argparse
import asyncio
import importlib.util
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

Call = Callable[[str], Awaitable[object]]

KEY = "sk_benchmark_0123456789"


@asynccontextmanager
async def by_hand(url: str) -> AsyncIterator[Call]:
    import aiohttp

    async with aiohttp.ClientSession(headers={"Api-Key": KEY}) as session:

        async def call(run_id: str) -> object:
            async with session.post(f"{url}/v1/splits/{run_id}/cancel") as response:
                return await response.json()

        yield call


@asynccontextmanager
async def transport(url: str) -> AsyncIterator[Call]:
    from retab_async import AsyncRetab
    from retab_async.protocol import Request

    async with AsyncRetab(KEY, base_url=url) as client:
        send, deadline = client.splits._api.transport.send, client.splits._api.transport.deadline  # noqa: SLF001 - what is measured

        async def call(run_id: str) -> object:
            return await send(Request("POST", f"/v1/splits/{run_id}/cancel"), deadline())

        yield call


@asynccontextmanager
async def cancel(url: str) -> AsyncIterator[Call]:
    from retab_async import AsyncRetab

    async with AsyncRetab(KEY, base_url=url) as client:
        yield client.splits.cancel


@asynccontextmanager
async def official(url: str) -> AsyncIterator[Call]:
    import retab

    async with retab.AsyncRetab(api_key=KEY, base_url=url) as client:
        yield client.splits.create_split_cancel


CONTESTANTS = {"aiohttp by hand": by_hand, "transport alone": transport, "splits.cancel": cancel, "official": official}


async def contend(name: str, url: str) -> None:
    """Run the blocks requested on stdin, `CALLS CONCURRENCY` per line, and print the figures of each."""
    async with CONTESTANTS[name](url) as call:
        while line := await asyncio.to_thread(sys.stdin.readline):
            calls, concurrency = map(int, line.split())
            wall, cpu = time.perf_counter(), time.process_time()
            await block(call, calls, concurrency)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"rate": calls / wall, "cpu": cpu / calls * 1e6, "peak": peak}), flush=True)


async def block(call: Call, calls: int, concurrency: int) -> None:
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await call(f"splt_{number:08d}")

    async with asyncio.TaskGroup() as pool:
        for _ in range(concurrency):
            pool.create_task(work())


class Contestant:
    """One contestant in its own process."""

    def __init__(self, name: str, url: str) -> None:
        arguments = [sys.executable, __file__, "--contend", name, url]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, calls: int, concurrency: int) -> dict[str, float]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        print(calls, concurrency, file=stdin, flush=True)
        figures: dict[str, float] = json.loads(stdout.readline())
        return figures

    def end(self) -> None:
        self.process.communicate()


def generation(names: list[str], url: str, options: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    contestants = {name: Contestant(name, url) for name in names}
    sizes = {name: options.calls // 5 if name == "official" else options.calls for name in names}
    for name, contestant in contestants.items():
        contestant.run(sizes[name], options.concurrency)
    rounds = []
    for _ in range(options.rounds):
        order = random.sample(names, len(names))
        rounds.append({name: contestants[name].run(sizes[name], options.concurrency) for name in order})
    for contestant in contestants.values():
        contestant.end()
    return rounds


def compare(answer: str, names: list[str], options: argparse.Namespace) -> None:
    arguments = [sys.executable, str(Path(__file__).with_name("server.py")), answer]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        url = f"http://127.0.0.1:{first_line(server.stdout)}"
        rounds = [each for _ in range(options.generations) for each in generation(names, url, options)]
        server.kill()
    print(f"\nanswer: {answer}; {len(rounds)} rounds of {options.calls} calls, {options.concurrency} in flight")
    print(f"{'':<18}{'calls/s':>9}{'to aiohttp':>12}{'CPU us/call':>13}{'peak MiB':>10}")
    for name in names:
        rate, cpu, peak = (
            statistics.median(each[name][figure] for each in rounds) for figure in ("rate", "cpu", "peak")
        )
        ratio = statistics.median(each[name]["rate"] / each[names[0]]["rate"] for each in rounds)
        print(f"{name:<18}{rate:>9.0f}{ratio:>12.3f}{cpu:>13.1f}{peak:>10.1f}")


def first_line(stream: IO[str] | None) -> str:
    return stream.readline().strip() if stream else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("rounds", 20), ("generations", 3), ("calls", 1000), ("concurrency", 50)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.contend:
        asyncio.run(contend(*options.contend))
        return
    names = list(CONTESTANTS)
    compare("three", names[:3], options)
    compare("full", names if importlib.util.find_spec("retab") else names[:3], options)


if __name__ == "__main__":
    main()
