"""Soak test: minutes or hours of mixed work among faults, checked for leaks.

    python benchmarks/soak.py [--seconds 300] [--faults 0.01] [--rate 30] [--seed 1]

Calls every verb at random, at a fixed rate. A fifth of the calls is cancelled at a random moment, and some blocks and
loops are left early. The server is the emulator in another process, so only the client's memory is measured. A share of
its requests meets a reset, a truncated body, a hang, a 429, a 503, a delayed response or one that is not JSON.

The work is done in rounds. After each round all calls have ended, and there must be no task, no connection in use, no
thread and no pending cancel, nor an active run on the server that a block owned. Memory, objects, descriptors (without
idle connections) and tasks are sampled then; the figures are their slopes over the last three quarters of the time, by
least squares. Exits with 1 and the reasons if anything is wrong. Needs Linux.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from soak_calls import Calls, LeftError

from retab_async import AsyncRetab, RetabError, RetryPolicy

HERE = Path(__file__).parent
MIB = 1024 * 1024
CANCELLED = 0.2
MIN_ROUNDS = 4
# Seconds: the longest call with its deadline, and the longest cleanup after the last call of a round.
MAX_CALL_SECONDS, MAX_CLEANUP_SECONDS = 60.0, 20.0
# Exceptions that are expected, besides `RetabError`.
EXPECTED = (LeftError, TimeoutError)


class Sample(NamedTuple):
    """Resources in use between two rounds."""

    moment: float
    calls: int
    memory: float
    objects: float
    descriptors: float
    tasks: float


class CallLog:
    """Calls by verb and result, and the errors found."""

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.results: Counter[tuple[str, str]] = Counter()
        self.errors: list[str] = []

    def start(self, verb: str, call: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Start a call in a task, whose result is logged."""

        async def make() -> None:
            await call()

        self.started[verb] += 1
        task = asyncio.create_task(make(), name=verb)
        task.add_done_callback(self._record)
        return task

    def _record(self, task: "asyncio.Task[None]") -> None:
        verb = task.get_name()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        name = "ok" if error is None else type(error).__name__
        self.results[verb, name] += 1
        if not (error is None or task.cancelled() or is_expected(error)):
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.errors.append(f"{verb} raised {error!r} at {place.name}:{place.lineno}, {place.line}")


def is_expected(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_expected, error.exceptions))
    return isinstance(error, (RetabError, *EXPECTED))


class Server:
    """Emulator process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    async def ask(self, **command: Any) -> Any:
        """Send one command; from one task only, which must not be cancelled meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def emulator_process(faults: float, seed: int) -> AsyncIterator[Server]:
    line = (sys.executable, str(HERE / "soak_server.py"), str(faults), str(seed))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*line, stdin=pipe, stdout=pipe, limit=MIB)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process, (await process.stdout.readline()).decode().strip())
    finally:
        process.stdin.close()
        await process.wait()


class Soak:
    """Rounds of work on one client."""

    def __init__(self, client: AsyncRetab, server: Server, calls: Calls, dice: random.Random, rate: float) -> None:
        self.log = CallLog()
        self.samples: list[Sample] = []
        self._client = client
        self._server = server
        self._calls = calls
        self._dice = dice
        self._rate = rate
        self._own_tasks = asyncio.all_tasks()
        self._threads = threading.active_count()
        self._began = time.monotonic()

    async def run(self, seconds: float) -> None:
        """Work for `seconds`, in rounds of a twelfth of that, but 2 to 15 seconds."""
        verbs = self._calls.verbs()
        names, weights = [*verbs], [weight for weight, _ in verbs.values()]
        length = min(15.0, max(2.0, seconds / 12))
        # On a busy machine a round takes longer, and a slope needs several of them.
        while (now := time.monotonic()) < self._began + seconds or len(self.samples) < MIN_ROUNDS:
            tasks = set()
            while time.monotonic() < now + length:
                await self._refill()
                verb = self._dice.choices(names, weights)[0]
                task = self.log.start(verb, verbs[verb][1])
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if self._dice.random() < CANCELLED:
                    asyncio.get_running_loop().call_later(
                        self._dice.expovariate(self._dice.choice((5, 200))), task.cancel
                    )
                await asyncio.sleep(self._dice.expovariate(self._rate))
            await self._wait_for_round(tasks)
            await self._check_round()

    async def _refill(self) -> None:
        supply = self._calls.supply
        for kind, durations in supply.wanted.items():
            if len(supply.ids[kind]) < 50:
                for running in durations:
                    supply.add(kind, await self._server.ask(seed=[kind, 20, running]))

    async def _wait_for_round(self, tasks: "set[asyncio.Task[None]]") -> None:
        if tasks:
            _, stuck = await asyncio.wait([*tasks], timeout=MAX_CALL_SECONDS)
            self.log.errors += [f"{task.get_name()} did not end" for task in stuck]
        deadline = time.monotonic() + MAX_CLEANUP_SECONDS
        while (leaks := self._leaks()) and time.monotonic() < deadline:  # noqa: ASYNC110 - there is no event for all of it
            await asyncio.sleep(0.02)
        self.log.errors += leaks

    def _leaks(self) -> list[str]:
        tasks = [task.get_name() for task in asyncio.all_tasks() - self._own_tasks]
        leaks = {
            f"tasks are running: {tasks}": bool(tasks),
            "connections are in use": bool(connections(self._client)[0]),
            "slots are in use": bool(self._client.stats().in_flight),
            "cancels are pending": not self._client._cleanup.is_idle,  # noqa: SLF001 - not public before aclose()
            "threads are running": threading.active_count() > self._threads,
        }
        return [leak for leak, exists in leaks.items() if exists]

    async def _check_round(self) -> None:
        active = set(await self._server.ask(active=None))
        owned = {run_id for run_id in active if run_id.startswith("prtn_")} | (active & self._calls.owned)
        reported = {each.run_id for each in self._client._cleanup.unconfirmed}  # noqa: SLF001 - not public before aclose()
        self.log.errors += [f"a block left {run_id} active" for run_id in owned - reported]
        self._calls.owned.clear()
        self.samples.append(self._sample())

    def _sample(self) -> Sample:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Sample(
            moment=time.monotonic() - self._began,
            calls=self.log.started.total(),
            memory=pages * os.sysconf("SC_PAGE_SIZE") / MIB,
            objects=len(gc.get_objects()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())) - connections(self._client)[1],
            tasks=len(asyncio.all_tasks() - self._own_tasks),
        )


def connections(client: AsyncRetab) -> tuple[int, int]:
    """Return the number of connections in use, and of idle ones."""
    connector: Any = client._pool.session().connector  # noqa: SLF001 - not public
    wires = client._pool._wires  # noqa: SLF001 - not public
    # The connector counts the idle connections of the fast path as acquired.
    idle = 0 if wires is None else wires.idle_count
    return len(connector._acquired) - idle, sum(map(len, connector._conns.values())) + idle  # noqa: SLF001 - not public


def judge(samples: list[Sample]) -> list[str]:
    """Print the slopes, and return the errors.

    A leaked task, response or exception, with the frames and texts it refers to, is more than a kilobyte and more than
    ten objects for the garbage collector. So the limits are a quarter of a kilobyte and half an object for each call,
    beyond what is allocated once: caches, converters, lazily imported modules, the allocator's pages. Descriptors and
    tasks are counted between rounds, where the only extra one may be a connection that is closing.
    """
    last = samples[-1].moment
    steady = [sample for sample in samples if sample.moment > last / 4]
    calls = steady[-1].calls - steady[0].calls
    most = {"memory MiB": 4 + calls * 256 / MIB, "objects": 10_000 + calls / 2, "descriptors": 2.0, "tasks": 0.5}
    minutes = (steady[-1].moment - steady[0].moment) / 60
    print(f"\n{len(steady)} samples over {minutes:.1f} minutes, {calls} calls")
    print(f"{'':<14}{'first':>10}{'last':>10}{'a minute':>12}{'total':>10}{'at most':>10}")
    wrong = []
    for place, (name, bound) in enumerate(most.items(), 2):
        values = [float(sample[place]) for sample in steady]
        slope = statistics.linear_regression([sample.moment / 60 for sample in steady], values).slope
        grown = slope * minutes
        print(f"{name:<14}{values[0]:>10.1f}{values[-1]:>10.1f}{slope:>+12.2f}{grown:>+10.1f}{bound:>10.1f}")
        if grown > bound:
            wrong.append(f"{name} grew by {grown:.1f}, allowed are {bound:.1f}")
    return wrong


def show(log: CallLog, dispositions: Counter[str], served: Any) -> None:
    print(f"\n{'calls':<20}{'started':>8}{'ok':>8}{'cancelled':>11}  other results")
    for verb, started in sorted(log.started.items()):
        results = {name: count for (of, name), count in log.results.items() if of == verb}
        fine, cancelled = results.pop("ok", 0), results.pop("CancelledError", 0)
        others = ", ".join(f"{name} {count}" for name, count in sorted(results.items()))
        print(f"{verb:<20}{started:>8}{fine:>8}{cancelled:>11}  {others}")
    print(f"{'total':<20}{log.started.total():>8}")
    print("\nids of bulk jobs:", ", ".join(f"{word} {count}" for word, count in sorted(dispositions.items())))
    faults = sorted(served["faults"].items())
    print(f"requests: {served['requests']}; faults: {', '.join(f'{name} {count}' for name, count in faults)}")


def listen(log: CallLog) -> None:
    """Record errors of tasks and finalizers, which are never raised."""

    def on_loop_error(_: object, context: dict[str, Any]) -> None:
        log.errors.append(f"error in the loop: {context.get('message')}: {context.get('exception')!r}")

    def on_unraisable(unraisable: Any) -> None:
        log.errors.append(f"error in a finalizer: {unraisable.exc_value!r}")

    asyncio.get_running_loop().set_exception_handler(on_loop_error)
    sys.unraisablehook = on_unraisable


async def soak(seconds: float, faults: float, rate: float, seed: int) -> list[str]:
    dice = random.Random(seed)
    retry = RetryPolicy(wait_initial=0.05, wait_max=0.5, deadline=8)
    with tempfile.TemporaryDirectory() as folder:
        async with emulator_process(faults, seed) as server:
            client = AsyncRetab("sk_soak_0123456789", base_url=server.url, timeout=1.5, retry=retry, proxy=False)
            calls = Calls(client, Path(folder), dice)
            work = Soak(client, server, calls, dice, rate)
            listen(work.log)
            try:
                await work.run(seconds)
            finally:
                unconfirmed = await client.aclose()
            log = work.log
            show(log, calls.dispositions, await server.ask(served=None))
    print(f"unconfirmed cancels of blocks: {len(unconfirmed)}")
    for each in unconfirmed:
        print(f"    {each}")
    if log.started.total() != log.results.total():
        log.errors.append(f"{log.started.total()} calls were started, {log.results.total()} ended")
    return judge(work.samples) + log.errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--faults", type=float, default=0.01, help="share of requests with a fault")
    parser.add_argument("--rate", type=float, default=30.0, help="calls a second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.seconds < 10:
        parser.error("--seconds must be at least 10 for a slope")
    # Many retries are expected.
    logging.getLogger("retab_async").setLevel(logging.CRITICAL)
    wrong = asyncio.run(soak(options.seconds, options.faults, options.rate, options.seed))
    for problem, count in Counter(wrong).items():
        print(f"WRONG ({count}): {problem}")
    if not wrong:
        print("\nnothing is wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
