"""Bulk cancels: throughput, memory, and life at a limit, ours beside others, all in one run.

    python benchmarks/bench_bulk.py [--parts throughput memory limits] [--svg benchmarks/bulk.svg]

Servers have processes of their own, and so has each contestant in each round; who does not fit the three-field answer
(the official client) gets the one of all fields. Throughput: ids a second, medians over rounds in shuffled order, and
the median of the ratios to a crew of `splits.cancel`, for ours of three a round. Memory: the growth of the peak over
that of a job of a hundred ids. Limits: servers that refuse what is over REQUESTS in SECONDS; the time is the server's
own, from its first request to its last, against the least in which that many can be let through.
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

from bulk_contestants import CONTESTANTS
from plot_bulk import plot

HERE = Path(__file__).parent
FIRST, REFERENCE = "cancel_many", "splits.cancel, a crew"
THROUGHPUT = (FIRST, REFERENCE, "aiohttp, a crew", "aiohttp, gather", "official, gather")
LIMITED = (FIRST, "aiohttp-retry, a crew")
NEEDS = {"official, gather": "retab", "aiohttp-retry, a crew": "aiohttp_retry"}
REQUESTS, SECONDS = 200, 2.0
# So often in a round these are compared: FIRST and REFERENCE.
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
    told = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(told.splitlines()[-1])
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


def in_some_order(names: list[str]) -> list[str]:
    # The two that are close meet three times a round, one after the other: the machine is not the same from one half
    # minute to the next, and a process can be lucky in where its memory lies.
    heats = [random.sample((FIRST, REFERENCE), 2) for _ in range(PAIRS)] + [[name] for name in names[2:]]
    return [name for heat in random.sample(heats, len(heats)) for name in heat]


def throughput(rounds: int, count: int) -> list[dict[str, Any]]:
    names = present(THROUGHPUT)
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    with serving(str(HERE / "server.py"), "three") as three, serving(str(HERE / "server.py"), "full") as full:
        for _ in range(rounds):
            for rates in taken.values():
                rates.append([])
            for name in in_some_order(names):
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


def least(limit: str, count: int) -> float:
    if limit == "bucket":
        return (count - REQUESTS / 5) / (REQUESTS / SECONDS)
    return (count - 1) // REQUESTS * SECONDS


def limits(windows: float) -> list[dict[str, Any]]:
    count = int(REQUESTS * windows)
    print(f"\n{count} ids at {REQUESTS} requests in {SECONDS:g} s")
    print(f"{'limit':<10}{'Retry-After':<13}{'':<24}{'s':>7}{'least':>7}{'of the possible':>17}{'429s a success':>16}")
    rows = []
    for limit in ("rolling", "bucket", "fixed"):
        for tells in (True, False):
            for name in present(LIMITED):
                flags = ["--retry-after"] if tells else []
                server = (str(HERE / "limited_server.py"), limit, str(REQUESTS), str(SECONDS), *flags)
                with serving(*server) as url:
                    run(name, url, count)
                    with urllib.request.urlopen(f"{url}/counted") as answer:  # noqa: S310 - our own server
                        told = json.load(answer)
                shortest = least(limit, count)
                row = {"limit": limit, "tells": tells, "name": name, "seconds": told["took"], "least": shortest}
                row |= {"share": shortest / told["took"], "refused": told["refused"] / told["done"]}
                rows.append(row)
                print(
                    f"{limit:<10}{'yes' if tells else 'no':<13}{name:<24}{row['seconds']:>7.2f}{shortest:>7.2f}"
                    f"{row['share']:>17.0%}{row['refused']:>16.3f}"
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["throughput", "memory", "limits"])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--ids", type=int, default=6_000)
    parser.add_argument("--most", type=int, default=1_000_000, help="ids of the largest job in the memory part")
    parser.add_argument("--windows", type=float, default=10.5)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--contend", nargs=4, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.contend:
        name, url, count, warm = options.contend
        contend(name, url, int(count), int(warm))
        return
    counts = tuple(count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= options.most)
    told: dict[str, list[dict[str, Any]]] = {}
    if "throughput" in options.parts:
        told["throughput"] = throughput(options.rounds, options.ids)
    if "memory" in options.parts:
        told["memory"] = memory(counts)
    if "limits" in options.parts:
        told["limits"] = limits(options.windows)
    if options.svg:
        options.svg.write_text(plot(told))


if __name__ == "__main__":
    main()
