"""Cost of a thousand waits: `splits.wait`, which batches its polls, against a polling loop for each run.

    python benchmarks/bench_wait.py [--runs 1000] [--longest 20] [--short] [--json FILE]

Each contestant has its own process and its own emulator process, and all run at the same time; the runs have the same
durations, drawn from 1 to `--longest` seconds. The loops use the poll intervals of `splits.wait`, read without output,
and fetch the output at the end. Lateness is the time from the end of a run until its output has arrived.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from retab_async import AsyncRetab
from retab_async.emulator import Emulator
from retab_async.polling.state import intervals
from retab_async.resources.splits import Split

Wait = Callable[[AsyncRetab, str], Awaitable[Split]]


async def shared(client: AsyncRetab, run_id: str) -> Split:
    return await client.splits.wait(run_id)


async def by_hand(client: AsyncRetab, run_id: str) -> Split:
    for seconds in intervals(None):
        run = await client.splits.get(run_id, include_output=False)
        if run.status.is_terminal:
            break
        await asyncio.sleep(seconds)
    return await client.splits.get(run_id)


CONTESTANTS: dict[str, Wait] = {"splits.get in a loop": by_hand, "splits.wait": shared}


async def serve(lengths: list[float]) -> None:
    """Print the address and the end time of each run, and at the end of stdin the number of requests."""
    async with Emulator(queued=0) as emulator:
        end_times = {}
        for length in lengths:
            (run_id,) = emulator.seed("splits", running=length)
            end_times[run_id] = time.monotonic() + length
        print(json.dumps({"url": emulator.url, "end_times": end_times}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(len(emulator.requests), flush=True)


async def contend(wait: Wait, url: str, end_times: dict[str, float]) -> dict[str, Any]:
    async with AsyncRetab("sk_benchmark_0123456789", base_url=url) as client:

        async def lateness(run_id: str) -> float:
            run = await wait(client, run_id)
            late = time.monotonic() - end_times[run_id]
            assert run.id == run_id
            assert run.status == "completed"
            assert run.output
            return late

        cpu = time.process_time()
        late = await asyncio.gather(*map(lateness, end_times))
        return {"late": late, "cpu": time.process_time() - cpu}


def contest(name: str, lengths: list[float]) -> dict[str, Any]:
    """Run one contestant in this process, against its own emulator."""
    arguments = [sys.executable, __file__, "--serve", json.dumps(lengths)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        started = json.loads(server.stdout.readline())
        figures = asyncio.run(contend(CONTESTANTS[name], started["url"], started["end_times"]))
        requests, _ = server.communicate()
    return figures | {"requests": int(requests)}


def summary(figures: dict[str, Any], most: int) -> dict[str, float]:
    late = figures["late"]
    return {
        "runs": len(late),
        "requests": figures["requests"],
        "ratio": figures["requests"] / most,
        "mean_late": statistics.mean(late),
        "p95_late": statistics.quantiles(late, n=20)[-1],
        "cpu": figures["cpu"],
    }


def report(name: str, each: dict[str, float]) -> None:
    print(
        f"{name:<21}{each['runs']:>7}{each['requests']:>10}{each['ratio']:>8.4f}"
        f"{each['mean_late']:>12.2f}{each['p95_late']:>11.2f}{each['cpu']:>9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--longest", type=float, default=20.0)
    parser.add_argument("--short", action="store_true", help="runs of at most 8 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    if options.contend:
        name, lengths = options.contend
        print(json.dumps(contest(name, json.loads(lengths))))
        return
    longest = 8.0 if options.short else options.longest
    lengths = json.dumps([round(random.uniform(1, longest), 3) for _ in range(options.runs)])
    processes = {
        name: subprocess.Popen([sys.executable, __file__, "--contend", name, lengths], stdout=subprocess.PIPE)
        for name in CONTESTANTS
    }
    figures = {name: json.loads(process.communicate()[0]) for name, process in processes.items()}
    most = max(each["requests"] for each in figures.values())
    print(f"{'':<21}{'right':>7}{'requests':>10}{'ratio':>8}{'mean late s':>12}{'p95 late s':>11}{'CPU s':>9}")
    summaries = {name: summary(each, most) for name, each in figures.items()}
    for name, each in summaries.items():
        report(name, each)
    if options.json:
        options.json.write_text(json.dumps(summaries, indent=1) + "\n")


if __name__ == "__main__":
    main()
