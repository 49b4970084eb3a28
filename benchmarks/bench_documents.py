"""Measures the cost of creating a run from a large file: memory, lag of the event loop, seconds, bytes on the wire.

    python benchmarks/bench_documents.py [--sizes 20 64] [--rounds 5] [--short] [--json FILE]

The server runs in its own process: it counts the bytes of bodies, answers creates with a run, and accepts uploads. Each
measurement runs in its own process too, which first creates one run from a tiny file: memory is the growth of the peak
after that, and the lag is the longest delay of a task that sleeps a millisecond at a time. Printed are medians over the
rounds, and the worst lag. A file too large for the 32 MiB that the service accepts as a body is uploaded by
retab_async; the official client sends it in the body, and this server accepts it.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

Create = Callable[[Path], Awaitable[object]]

KEY = "sk_benchmark_0123456789"
MIB = 1024 * 1024
SPLIT = {
    "id": "splt_01G34H8J2K",
    "file": {"id": "file_7c2e", "filename": "batch.pdf", "mime_type": "application/pdf"},
    "model": "retab-small",
    "subdocuments": [{"name": "invoice", "description": "", "allow_multiple_instances": False}],
    "n_consensus": 1,
    "output": [],
    "status": "queued",
}


class Counter(asyncio.Protocol):
    """Counts the bytes of each body and discards them."""

    bodies: tuple[list[int], ...] = ([], [])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.head = b""
        self.left = 0

    def data_received(self, data: bytes) -> None:
        if not self.left:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = b""
            self.begin(head.decode("latin-1"))
        self.left -= len(data)
        if self.left <= 0:
            self.answer()

    def begin(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.method, self.target, _ = first.split(" ")
        self.host = headers["host"]
        self.length = self.left = int(headers.get("content-length", 0))

    def answer(self) -> None:
        assert self.left == 0, "the body is longer than its Content-Length"
        response = self.response()
        if self.method != "GET":
            self.bodies[self.method == "PUT"].append(self.length)
        body = json.dumps(response).encode()
        status = b"201 Created" if self.target == "/v1/splits" else b"200 OK"
        kind = b"Content-Type: application/json"
        self.transport.write(b"HTTP/1.1 %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body))

    def response(self) -> Any:
        if self.target == "/counted":
            counted = [sum(bodies) for bodies in self.bodies]
            for bodies in self.bodies:
                bodies.clear()
            return counted
        document = {"filename": "batch.pdf", "url": "https://storage.retab.com/org_b/file_7c2e.pdf"}
        if self.target == "/v1/files/upload":
            target = f"http://{self.host}/put?X-Sig=0123456789"
            return {"fileId": "file_7c2e", "uploadUrl": target, "uploadMethod": "PUT", "uploadHeaders": {}}
        return document if self.target.endswith("/complete") else SPLIT


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Counter, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Create]:
    from retab_async import AsyncRetab
    from retab_async.resources.splits import Subdocument

    async with AsyncRetab(KEY, base_url=url) as client:
        fields: dict[str, Any] = {"subdocuments": [Subdocument("invoice")], "background": True}
        yield lambda path: client.splits.create(document=path, **fields)


@asynccontextmanager
async def official(url: str) -> AsyncIterator[Create]:
    import retab

    async with retab.AsyncRetab(api_key=KEY, base_url=url) as client:
        fields: dict[str, Any] = {"subdocuments": [{"name": "invoice"}], "model": "retab-small", "background": True}
        yield lambda path: client.splits.create(document=path, **fields)


CONTESTANTS = {"retab_async": ours, "official": official}


class LoopLag:
    """Longest delay of a task that sleeps a millisecond at a time."""

    longest = 0.0

    async def watch(self) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - started - 0.001)


async def run_contestant(name: str, url: str, tiny: Path, file: Path) -> None:
    async with CONTESTANTS[name](url) as create:
        await create(tiny)
        lag = LoopLag()
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(0.05)
        idle, lag.longest = lag.longest, 0.0
        before, started = peak(), time.perf_counter()
        await create(file)
        took, grown = time.perf_counter() - started, peak() - before
        await asyncio.sleep(0.002)
        watching.cancel()
    print(json.dumps({"memory": grown, "lag": lag.longest * 1000, "idle": idle * 1000, "seconds": took}))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def counted(url: str) -> list[int]:
    with urllib.request.urlopen(f"{url}/counted") as answer:  # noqa: S310 - our own server
        figures: list[int] = json.load(answer)
    return figures


def measure(name: str, url: str, tiny: Path, file: Path) -> dict[str, float]:
    counted(url)
    arguments = [sys.executable, __file__, "--contestant", name, url, str(tiny), str(file)]
    output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    posted, put = counted(url)
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    # Beside the document: the JSON around it, of both creates and of the steps of the upload.
    content, inline = file.stat().st_size, encoded(file.stat().st_size)
    expected = content if put else inline + encoded(tiny.stat().st_size)
    return figures | {"sent": put or posted, "frames": posted - (encoded(tiny.stat().st_size) if put else expected)}


def encoded(size: int) -> int:
    return (size + 2) // 3 * 4


def compare(size: int, rounds: int, url: str, folder: Path) -> dict[str, dict[str, float]]:
    names = list(CONTESTANTS) if importlib.util.find_spec("retab") else ["retab_async"]
    tiny, file = folder / "tiny.pdf", folder / "batch.pdf"
    tiny.write_bytes(b"%PDF-1.7\n")
    file.write_bytes(b"%PDF-1.7\n")
    # Not built in memory: a process starts with the peak memory of its parent.
    os.truncate(file, size * MIB)
    print(f"\na file of {size} MiB, {rounds} rounds")
    heads = (("memory MiB", 12), ("lag ms", 9), ("worst", 8), ("idle", 7), ("seconds", 9), ("document sent as", 30))
    print(f"{'':<13}{''.join(f'{head:>{width}}' for head, width in heads)}{'beside':>8}")
    medians = {}
    for name in names:
        figures = [measure(name, url, tiny, file) for _ in range(rounds)]
        middle = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        worst = max(each["lag"] for each in figures)
        sent = f"{middle['sent']:.0f} B {'raw' if middle['sent'] == size * MIB else 'in JSON'}"
        print(
            f"{name:<13}{middle['memory']:>12.1f}{middle['lag']:>9.1f}{worst:>8.1f}{middle['idle']:>7.1f}"
            f"{middle['seconds']:>9.2f}{sent:>30}{middle['frames']:>8.0f}"
        )
        medians[name] = middle | {"worst_lag": worst}
    return medians


def first_line(stream: IO[str] | None) -> str:
    return stream.readline().strip() if stream else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 64], help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="two rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--contestant", nargs=4, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.contestant:
        name, url, *paths = options.contestant
        asyncio.run(run_contestant(name, url, *map(Path, paths)))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server,
    ):
        url = f"http://127.0.0.1:{first_line(server.stdout)}"
        rounds = 2 if options.short else options.rounds
        figures = {size: compare(size, rounds, url, Path(folder)) for size in options.sizes}
        server.kill()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
