"""Load and expansion attacks: wall time, peak memory and the worst lag of the event loop.

    python benchmarks/load.py [--short] [SCENARIO ...]

Runs each scenario with a new client process and a new server process, on loopback. The lag is how late a timer of 10 ms
fires in the client's event loop at worst: what the rest of a program would notice. Scenarios:

    ids                  cancel_many of 1,000,000 ids, with a journal
    cancels              20,000 single cancels at once
    waits                10,000 waits at once, on the emulator
    blocks-0, -50, -150  3,000 blocks left at once by cancellation, with 0, 50 or 150 ms of latency
    expanded-result      a get answered with 60 MiB of JSON, compressed
    expanded-page        a list page of a million rows without ids, compressed
    expanded-zeros       a cancel answered with 600 MiB of zeros, compressed
    deep-error           a cancel answered with an error body nested 983 deep
    empty-lines          a stream of empty lines at full speed, for at most 10 s

`--short` runs each at a hundredth of its size, in seconds. Needs Linux. Exits with 1 if a scenario failed, or if an
attack made the loop lag by more than 250 ms.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retab_async import AsyncRetab, RetabError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
TICK = 0.01
MAX_ATTACK_LAG = 0.25
STREAM_SECONDS = 10.0
UNEXPECTED = "UNEXPECTED"
Work = Callable[[AsyncRetab, list[str]], Awaitable[str]]


class Scenario(NamedTuple):
    """One measurement: the arguments of its server, and its work, which returns a note for the table."""

    server: tuple[str, ...]
    work: Work
    is_attack: bool = False


class LagMeter:
    """Heartbeat of the event loop: measures how late its timer fires."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.worst = max(self.worst, loop.time() - due)


def cancel_ids(count: int) -> Work:
    async def work(client: AsyncRetab, _: list[str]) -> str:
        ids = (f"splt_{number}" for number in range(count))
        with tempfile.TemporaryDirectory() as folder:
            report = await client.splits.cancel_many(ids, journal=Path(folder, "cancel.jsonl"))
        return counts_of(report.counts)

    return work


def cancel_at_once(count: int) -> Work:
    async def work(client: AsyncRetab, _: list[str]) -> str:
        calls = (client.splits.cancel(f"splt_{number}") for number in range(count))
        runs = await asyncio.gather(*calls, return_exceptions=True)
        return counts_of(Counter(name_of(run) for run in runs))

    return work


async def wait_at_once(client: AsyncRetab, ids: list[str]) -> str:
    runs = await asyncio.gather(*map(client.splits.wait, ids), return_exceptions=True)
    return counts_of(Counter(name_of(run) for run in runs))


def leave_blocks(count: int) -> Work:
    async def work(client: AsyncRetab, _: list[str]) -> str:
        entered = 0
        all_entered = asyncio.Event()

        async def block(run_id: str) -> None:
            nonlocal entered
            async with client.splits.attach(run_id):
                entered += 1
                if entered == count:
                    all_entered.set()
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(block(f"splt_{number}")) for number in range(count)]
        await all_entered.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        left = time.perf_counter()
        unconfirmed = await client.aclose()
        return f"{len(unconfirmed)} unconfirmed, closed {time.perf_counter() - left:.1f} s after the blocks"

    return work


async def read_run(client: AsyncRetab, _: list[str]) -> str:
    return await outcome_of(client.splits.get("splt_1"))


async def cancel_run(client: AsyncRetab, _: list[str]) -> str:
    return await outcome_of(client.splits.cancel("splt_1"))


async def read_page(client: AsyncRetab, _: list[str]) -> str:
    return await outcome_of(client.splits.list().pages().__anext__())


async def read_stream(client: AsyncRetab, _: list[str]) -> str:
    async def consume() -> None:
        schema = {"type": "object", "properties": {"total": {"type": "number"}}}
        async with client.extractions.stream(document=b"%PDF", json_schema=schema) as states:
            async for _ in states:
                pass

    return await outcome_of(asyncio.wait_for(consume(), STREAM_SECONDS))


async def outcome_of(call: Awaitable[object]) -> str:
    try:
        return name_of(await call)
    except (RetabError, TimeoutError) as error:
        return name_of(error)
    except Exception as error:  # noqa: BLE001 - reported as a failure of the client
        return f"{UNEXPECTED} {error!r}"


def name_of(outcome: Any) -> str:
    status = getattr(outcome, "status", None)
    return str(status) if status is not None and not isinstance(outcome, Exception) else type(outcome).__name__


def counts_of(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def scenarios(scale: float) -> dict[str, Scenario]:
    """Return the scenarios; `scale` is the share of their full size."""

    def attack(name: str, work: Work) -> Scenario:
        return Scenario(("attack", name, str(scale)), work, is_attack=True)

    blocks = {
        f"blocks-{latency}": Scenario(("responses", str(latency / 1000)), leave_blocks(int(3_000 * scale)))
        for latency in (0, 50, 150)
    }
    return {
        "ids": Scenario(("responses", "0"), cancel_ids(int(1_000_000 * scale))),
        "cancels": Scenario(("responses", "0"), cancel_at_once(int(20_000 * scale))),
        "waits": Scenario(("emulator", str(int(10_000 * scale)), "5"), wait_at_once),
        **blocks,
        "expanded-result": attack("expanded-result", read_run),
        "expanded-page": attack("expanded-page", read_page),
        "expanded-zeros": attack("expanded-zeros", cancel_run),
        "deep-error": attack("deep-error", cancel_run),
        "empty-lines": attack("empty-lines", read_stream),
    }


@asynccontextmanager
async def server_process(*arguments: str) -> "AsyncIterator[tuple[str, list[str]]]":
    pipe = asyncio.subprocess.PIPE
    line = (sys.executable, str(HERE / "load_server.py"), *arguments)
    process = await asyncio.create_subprocess_exec(*line, stdin=pipe, stdout=pipe, limit=2**26)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = json.loads(await process.stdout.readline())
        yield ready["url"], ready["ids"]
    finally:
        process.stdin.close()
        await process.wait()


async def measure(scenario: Scenario) -> dict[str, Any]:
    meter = LagMeter()
    async with (
        server_process(*scenario.server) as (url, ids),
        AsyncRetab("sk_load_0123456789", base_url=url, proxy=False) as client,
    ):
        # Lazy imports and first connections are no part of the figures.
        with suppress(RetabError):
            await client.splits.cancel("splt_warm")
        before = peak_memory()
        heartbeat = asyncio.create_task(meter.run())
        # So that the heartbeat has begun before the work does.
        await asyncio.sleep(2 * TICK)
        began = time.perf_counter()
        note = await scenario.work(client, ids)
        wall = time.perf_counter() - began
        await asyncio.sleep(2 * TICK)
        heartbeat.cancel()
    return {"wall": wall, "before": before, "peak": peak_memory(), "lag": meter.worst, "note": note}


def peak_memory() -> float:
    """Return the peak of the process's resident memory in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def run_in_process(name: str, options: list[str]) -> dict[str, Any] | None:
    """Run one scenario in a new process; None if it failed."""
    line = (sys.executable, __file__, *options, "--measure", name)
    process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return json.loads(output) if process.returncode == 0 else None


async def run_all(names: list[str], options: list[str], known: dict[str, Scenario]) -> int:
    print(f"{'scenario':<18}{'wall s':>9}{'peak MiB':>10}{'grown MiB':>11}{'lag ms':>8}  result")
    failures = 0
    for name in names:
        figures = await run_in_process(name, options)
        if figures is None:
            print(f"{name:<18}failed")
            failures += 1
            continue
        grown = figures["peak"] - figures["before"]
        is_slow = known[name].is_attack and figures["lag"] > MAX_ATTACK_LAG
        failures += is_slow or figures["note"].startswith(UNEXPECTED)
        print(
            f"{name:<18}{figures['wall']:>9.2f}{figures['peak']:>10.0f}{grown:>11.0f}{figures['lag'] * 1000:>8.0f}"
            f"  {figures['note']}{' - LAG ABOVE 250 ms' if is_slow else ''}",
            flush=True,
        )
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="all by default")
    parser.add_argument("--short", action="store_true", help="a hundredth of each size")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = scenarios(0.01 if options.short else 1)
    unknown = set(options.names) - known.keys()
    if unknown:
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    if options.measure:
        # Retries and unconfirmed cancels are in the figures.
        logging.getLogger("retab_async").setLevel(logging.CRITICAL)
        print(json.dumps(asyncio.run(measure(known[options.names[0]]))))
        return
    names = options.names or [*known]
    sys.exit(bool(asyncio.run(run_all(names, ["--short"] if options.short else [], known))))


if __name__ == "__main__":
    main()
