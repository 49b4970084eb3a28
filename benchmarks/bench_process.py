"""`process_many` against the emulator: documents per second, requests per document, memory, and a killed job.

The emulator runs in a process of its own. `--short` takes seconds; `--json FILE` writes the figures.
"""

import argparse
import asyncio
import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from retab_async import AsyncRetab

KEY = "sk_benchmark"
SERVER = """
import asyncio
from retab_async.emulator import Emulator

async def main():
    async with Emulator(queued=0.1, running=0.4) as emulator:
        print(emulator.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
PARTS: list[dict[str, Any]] = [{"name": "invoice"}]


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


def documents(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.pdf", b"%%PDF-1.7 %d" % number) for number in range(count)]


async def processed(url: str, count: int, concurrency: int) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with AsyncRetab(KEY, base_url=url) as client:
        source = ((f"{number}.pdf", b"%%PDF-1.7 %d" % number) for number in range(count))
        report = await client.splits.process_many(source, subdocuments=PARTS, concurrency=concurrency)
        assert report.counts.total() == count
        assert not report.failures
        return {
            "documents a second": count / report.elapsed,
            "requests a document": client.stats().sent / count,
            "peak memory growth in MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        }


async def job(url: str, journal: str, count: int) -> None:
    async with AsyncRetab(KEY, base_url=url) as client:
        await client.splits.process_many(
            documents(count), subdocuments=PARTS, n_consensus=2, concurrency=100, journal=journal
        )


async def killed_and_resumed(url: str, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder) / "job.jsonl")
        line = (sys.executable, __file__, "--job", url, journal, str(count))
        first = await asyncio.create_subprocess_exec(*line)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and _finals(journal) < count // 3:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        settled = _finals(journal)
        second = await asyncio.create_subprocess_exec(*line)
        assert await second.wait() == 0
        finals = [entry["item"] for entry in _entries(journal) if entry["final"]]
    async with AsyncRetab(KEY, base_url=url) as client:
        runs = [run async for run in client.splits.list() if run.n_consensus == 2]
    return {
        "settled when killed": settled,
        "documents lost": count - len(set(finals)),
        "runs created twice": len(runs) - count,
    }


def _entries(journal: str) -> list[dict[str, Any]]:
    lines = Path(journal).read_bytes().splitlines(keepends=True) if Path(journal).exists() else []
    return [json.loads(line) for line in lines[1:] if line.endswith(b"}\n")]


def _finals(journal: str) -> int:
    return sum(entry["final"] for entry in _entries(journal))


async def main(*, short: bool) -> dict[str, float]:
    count = 500 if short else 10_000
    async with server() as url:
        figures = await processed(url, count, 200)
        figures |= await killed_and_resumed(url, count // 5)
    for name, value in figures.items():
        print(f"{name:26} {value:10,.2f}")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="500 documents instead of 10,000")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        asyncio.run(job(options.job[0], options.job[1], int(options.job[2])))
    else:
        found = asyncio.run(main(short=options.short))
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=2) + "\n")
