"""Bulk cancels: throughput, memory, and rate limits, compared with other clients in one run.

    python benchmarks/bench_bulk.py [--short] [--json FILE] [--parts cancel throughput memory limits]

A run of some parts keeps the figures of the others in the file; `python benchmarks/plot_bulk.py` draws those of the
last run of `figures.py`.

Each server and each contestant runs in processes of its own. The official client raises on the three-field response, so
it gets the full one. Cancel: `cancel_many` relative to a pool of workers on hand-written aiohttp, by calls and by CPU
time a call, in the scenarios of `bench_cancel.py` and with the bare protocol as the limit, on both loops.
Throughput: ids per second, medians over rounds in shuffled order, and the median of the ratios to a pool of workers on
`splits.cancel`. Memory: growth of the peak over that of a job of 100 ids. Limits: servers that reject more than
REQUESTS in SECONDS; the time is from the server's first request to its last, compared with the shortest possible one.
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
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from bench_cancel import BARE, BULK, BY_HAND, SCENARIOS, Contest, show
from bench_cancel import serving as serving_answers
from bulk_contestants import CONTESTANTS

HERE = Path(__file__).parent
FIRST, REFERENCE = "cancel_many", "splits.cancel, worker pool"
THROUGHPUT = (FIRST, REFERENCE, "aiohttp, worker pool", "aiohttp, gather", "official, gather")
LIMITED = (FIRST, "aiohttp-retry, worker pool")
NEEDS = {"official, gather": "retab", "aiohttp-retry, worker pool": "aiohttp_retry"}
REQUESTS, SECONDS = 200, 2.0
PARTS = ["cancel", "throughput", "memory", "limits"]
# Comparisons of FIRST with REFERENCE in each round.
PAIRS = 3


def present(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


def run(name: str, url: str, count: int, warm: int = 0) -> dict[str, float]:
    arguments = [sys.executable, __file__, "--contend", name, url, str(count), str(warm)]
    output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    assert figures["done"] == count, f"{name}: {figures['done']} of {count}"
    return figures


def contend(name: str, url: str, count: int, warm: int) -> None:
    contestant = CONTESTANTS[name]
    if warm:
        asyncio.run(contestant(url, warm))
    before, began = peak(), time.perf_counter()
    done = asyncio.run(contestant(url, count))
    print(json.dumps({"done": done, "seconds": time.perf_counter() - began, "memory": peak() - before}))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def shuffled(names: list[str]) -> list[str]:
    # The two that are close are compared three times a round, one after the other: the speed of the machine drifts, and
    # the memory layout of a process affects its speed.
    groups = [random.sample((FIRST, REFERENCE), 2) for _ in range(PAIRS)] + [[name] for name in names[2:]]
    return [name for group in random.sample(groups, len(groups)) for name in group]


def cancels(options: argparse.Namespace) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    with serving_answers("three", "full", "gzip", "chunked") as urls:
        for loop in ("asyncio", "uvloop"):
            contest = Contest([BY_HAND, "splits.cancel", BULK, BARE], loop, urls, options)
            for scenario in SCENARIOS:
                rows = contest.measure(scenario)
                results += rows
                show(rows)
            contest.end()
    return results


def throughput(rounds: int, count: int) -> list[dict[str, Any]]:
    names = present(THROUGHPUT)
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    with serving(str(HERE / "server.py"), "three") as three, serving(str(HERE / "server.py"), "full") as full:
        for _ in range(rounds):
            for rates in taken.values():
                rates.append([])
            for name in shuffled(names):
                is_official = name == "official, gather"
                figures = run(name, full if is_official else three, count // 10 if is_official else count, 100)
                taken[name][-1].append((count // 10 if is_official else count) / figures["seconds"])
    print(f"\n{count} ids, {rounds} rounds, 64 in flight\n{'':<24}{'ids/s':>8}{'to ' + REFERENCE:>28}")
    rows = []
    for name in names:
        ratio = statistics.median(ratios(taken[name], taken[REFERENCE]))
        rows.append({"name": name, "rate": statistics.median(chain.from_iterable(taken[name])), "ratio": ratio})
        print(f"{name:<24}{rows[-1]['rate']:>8.0f}{ratio:>28.2f}")
    return rows


def ratios(ours: list[list[float]], theirs: list[list[float]]) -> Iterator[float]:
    for mine, other in zip(ours, theirs, strict=True):
        if len(mine) == len(other):
            yield from (one / another for one, another in zip(mine, other, strict=True))
        else:
            yield mine[0] / statistics.mean(other)


def memory(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    print(f"\n{'ids':>9}{'MiB':>8}")
    rows = []
    with serving(str(HERE / "server.py"), "three") as url:
        for count in counts:
            grown = run(FIRST, url, count, 100)["memory"]
            rows.append({"ids": count, "memory": grown})
            print(f"{count:>9}{grown:>8.1f}")
    return rows


def shortest_time(limit: str, count: int) -> float:
    if limit == "bucket":
        return (count - REQUESTS / 5) / (REQUESTS / SECONDS)
    return (count - 1) // REQUESTS * SECONDS


def limits(windows: float) -> list[dict[str, Any]]:
    count = int(REQUESTS * windows)
    print(f"\n{count} ids at {REQUESTS} requests in {SECONDS:g} s")
    print(f"{'limit':<10}{'Retry-After':<13}{'':<24}{'s':>7}{'least':>7}{'of the optimum':>17}{'429s per success':>18}")
    rows = []
    for limit in ("rolling", "bucket", "fixed"):
        for with_hint in (True, False):
            for name in present(LIMITED):
                flags = ["--retry-after"] if with_hint else []
                server = (str(HERE / "limited_server.py"), limit, str(REQUESTS), str(SECONDS), *flags)
                with serving(*server) as url:
                    run(name, url, count)
                    with urllib.request.urlopen(f"{url}/counted") as answer:  # noqa: S310 - our own server
                        counts = json.load(answer)
                shortest = shortest_time(limit, count)
                row = {
                    "limit": limit,
                    "tells": with_hint,
                    "name": name,
                    "seconds": counts["took"],
                    "least": shortest,
                }
                row |= {"share": shortest / counts["took"], "refused": counts["refused"] / counts["done"]}
                rows.append(row)
                print(
                    f"{limit:<10}{'yes' if with_hint else 'no':<13}{name:<24}{row['seconds']:>7.2f}{shortest:>7.2f}"
                    f"{row['share']:>17.0%}{row['refused']:>18.3f}"
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few ids and rounds: some 4 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--parts", nargs="+", choices=PARTS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--ids", type=int, default=6_000)
    parser.add_argument("--most", type=int, default=1_000_000, help="ids of the largest job in the memory part")
    parser.add_argument("--windows", type=float, default=10.5)
    parser.add_argument("--contend", nargs=4, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.contend:
        name, url, count, warm = options.contend
        contend(name, url, int(count), int(warm))
        return
    parts = options.parts or PARTS
    options.calls = options.calls or (1000 if options.short else 2000)
    options.rounds = options.rounds or (5 if options.short else 25)
    ids, most, windows = (2_000, 10_000, 4.5) if options.short else (options.ids, options.most, options.windows)
    counts = tuple(count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= most)
    results: dict[str, list[dict[str, Any]]] = {}
    if "cancel" in parts:
        results["cancel_many"] = cancels(options)
    if "throughput" in parts:
        results["throughput"] = throughput(options.rounds, ids)
    if "memory" in parts:
        results["memory"] = memory(counts)
    if "limits" in parts:
        results["limits"] = limits(windows)
    if options.json:
        earlier = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps(earlier | results, indent=1) + "\n")


if __name__ == "__main__":
    main()
