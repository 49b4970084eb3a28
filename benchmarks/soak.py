"""Minutes or hours of mixed work among faults, and what is left of it: memory, descriptors, tasks, runs, debts.

    python benchmarks/soak.py [--seconds 300] [--faults 0.01] [--rate 30] [--seed 1]

Every verb is called at random, so many calls a second; a fifth of them is cancelled at a random moment, and some blocks
and loops are left early. The server is the emulator in a process of its own, where such a share of the requests meets a
reset, a cut body, a hang, a 429, a 503, an answer too late or one that is no JSON. So what grows here is the client's.

The work comes in rounds, and between two of them all calls have ended: there must be no task, no connection in use, no
thread, no debt then, and no run alive on the server that a block owned. What there is of memory, objects, descriptors
(idle connections aside) and tasks is noted, and the slopes of these over the last three quarters of the time, by least
squares, are the figures. Exits with 1 where something is wrong, and says what. Needs Linux.
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
# Seconds: what a call may take at most, with its deadline and what it owes; and what is owed after the last one.
LONGEST_CALL, LONGEST_DEBT = 60.0, 20.0
# Ends that are none of the program's faults, beside those of `RetabError`.
FORESEEN = (LeftError, TimeoutError)


class Sample(NamedTuple):
    """What there is between two rounds."""

    moment: float
    calls: int
    memory: float
    objects: float
    descriptors: float
    tasks: float


class Ledger:
    """Which calls were begun, and how each of them ended; `wrong` is what must not be."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []

    def begin(self, verb: str, call: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Begin a call, in a task that is in the ledger when it has ended."""

        async def make() -> None:
            await call()

        self.begun[verb] += 1
        task = asyncio.create_task(make(), name=verb)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: "asyncio.Task[None]") -> None:
        verb = task.get_name()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        name = "ok" if error is None else type(error).__name__
        self.ended[verb, name] += 1
        if not (error is None or task.cancelled() or is_foreseen(error)):
            self.wrong.append(f"{verb} raised {error!r}")


def is_foreseen(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_foreseen, error.exceptions))
    return isinstance(error, (RetabError, *FORESEEN))


class Server:
    """The emulator's process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    async def ask(self, **wish: Any) -> Any:
        """Ask for one thing; from one task alone, which is not cancelled meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def serving(faults: float, seed: int) -> AsyncIterator[Server]:
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
    """Work in rounds on one client."""

    def __init__(self, client: AsyncRetab, server: Server, calls: Calls, dice: random.Random, rate: float) -> None:
        self.ledger = Ledger()
        self.samples: list[Sample] = []
        self._client = client
        self._server = server
        self._calls = calls
        self._dice = dice
        self._rate = rate
        self._own = asyncio.all_tasks()
        self._threads = threading.active_count()
        self._began = time.monotonic()

    async def run(self, seconds: float) -> None:
        """Work for so many seconds, in rounds of a twelfth of them, from two seconds to fifteen."""
        verbs = self._calls.verbs()
        names, weights = [*verbs], [often for often, _ in verbs.values()]
        length = min(15.0, max(2.0, seconds / 12))
        while (now := time.monotonic()) < self._began + seconds:
            tasks = set()
            while time.monotonic() < now + length:
                await self._supply()
                verb = self._dice.choices(names, weights)[0]
                task = self.ledger.begin(verb, verbs[verb][1])
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if self._dice.random() < CANCELLED:
                    asyncio.get_running_loop().call_later(
                        self._dice.expovariate(self._dice.choice((5, 200))), task.cancel
                    )
                await asyncio.sleep(self._dice.expovariate(self._rate))
            await self._come_to_rest(tasks)
            await self._note()

    async def _supply(self) -> None:
        supply = self._calls.supply
        for kind, lives in supply.wanted.items():
            if len(supply.ids[kind]) < 50:
                for life in lives:
                    supply.add(kind, await self._server.ask(seed=[kind, 20, life]))

    async def _come_to_rest(self, tasks: "set[asyncio.Task[None]]") -> None:
        if tasks:
            _, stuck = await asyncio.wait([*tasks], timeout=LONGEST_CALL)
            self.ledger.wrong += [f"{task.get_name()} did not end" for task in stuck]
        ends = time.monotonic() + LONGEST_DEBT
        while (left := self._left()) and time.monotonic() < ends:  # noqa: ASYNC110 - nobody tells of all of it
            await asyncio.sleep(0.02)
        self.ledger.wrong += left

    def _left(self) -> list[str]:
        tasks = [task.get_name() for task in asyncio.all_tasks() - self._own]
        left = {
            f"tasks are left: {tasks}": bool(tasks),
            "connections are in use": bool(connections(self._client)[0]),
            "places are taken": bool(self._client.stats().in_flight),
            "cancels are owed": not self._client._cleanup.is_idle,  # noqa: SLF001 - nobody is told until the end
            "threads are left": threading.active_count() > self._threads,
        }
        return [what for what, is_so in left.items() if is_so]

    async def _note(self) -> None:
        alive = set(await self._server.ask(alive=None))
        owned = {run_id for run_id in alive if run_id.startswith("prtn_")} | (alive & self._calls.owned)
        told = {each.run_id for each in self._client._cleanup.unconfirmed}  # noqa: SLF001 - nobody is told until the end
        self.ledger.wrong += [f"a block left {run_id} alive" for run_id in owned - told]
        self._calls.owned.clear()
        self.samples.append(self._sample())

    def _sample(self) -> Sample:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Sample(
            moment=time.monotonic() - self._began,
            calls=self.ledger.begun.total(),
            memory=pages * os.sysconf("SC_PAGE_SIZE") / MIB,
            objects=len(gc.get_objects()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())) - connections(self._client)[1],
            tasks=len(asyncio.all_tasks() - self._own),
        )


def connections(client: AsyncRetab) -> tuple[int, int]:
    """Return how many connections are in use, and how many are idle."""
    connector: Any = client._pool.session().connector  # noqa: SLF001 - nobody else can tell
    return len(connector._acquired), sum(map(len, connector._conns.values()))  # noqa: SLF001 - nobody else can tell


def judge(samples: list[Sample]) -> list[str]:
    """Print the slopes, and return what is wrong with them.

    What a call leaves behind for good would be a task, a response or an exception, with the frames and texts that hang
    on it: more than a kilobyte, and more than ten objects that the collector knows. So a quarter of a kilobyte a call,
    and an object for every two, is too much, beyond what comes once: caches that fill up, converters that are made for
    a model, modules that are imported late, the allocator's pages. Descriptors and tasks are counted when nothing is
    under way; of them there is to be none more, or one in a closing.
    """
    last = samples[-1].moment
    steady = [sample for sample in samples if sample.moment > last / 4]
    calls = steady[-1].calls - steady[0].calls
    most = {"memory MiB": 4 + calls * 256 / MIB, "objects": 10_000 + calls / 2, "descriptors": 2.0, "tasks": 0.5}
    minutes = (steady[-1].moment - steady[0].moment) / 60
    print(f"\n{len(steady)} samples over {minutes:.1f} minutes, {calls} calls")
    print(f"{'':<14}{'first':>10}{'last':>10}{'a minute':>12}{'in all':>10}{'at most':>10}")
    wrong = []
    for place, (name, bound) in enumerate(most.items(), 2):
        values = [float(sample[place]) for sample in steady]
        slope = statistics.linear_regression([sample.moment / 60 for sample in steady], values).slope
        grown = slope * minutes
        print(f"{name:<14}{values[0]:>10.1f}{values[-1]:>10.1f}{slope:>+12.2f}{grown:>+10.1f}{bound:>10.1f}")
        if grown > bound:
            wrong.append(f"{name} grow: {grown:.1f} more, at most {bound:.1f} were to be")
    return wrong


def show(ledger: Ledger, dispositions: Counter[str], served: Any) -> None:
    print(f"\n{'calls':<20}{'begun':>8}{'ok':>8}{'cancelled':>11}  other ends")
    for verb, begun in sorted(ledger.begun.items()):
        ends = {name: count for (of, name), count in ledger.ended.items() if of == verb}
        fine, cancelled = ends.pop("ok", 0), ends.pop("CancelledError", 0)
        others = ", ".join(f"{name} {count}" for name, count in sorted(ends.items()))
        print(f"{verb:<20}{begun:>8}{fine:>8}{cancelled:>11}  {others}")
    print(f"{'in all':<20}{ledger.begun.total():>8}")
    print("\nids of bulk jobs:", ", ".join(f"{word} {count}" for word, count in sorted(dispositions.items())))
    faults = sorted(served["faults"].items())
    print(f"requests: {served['requests']}; faults: {', '.join(f'{name} {count}' for name, count in faults)}")


def listen(ledger: Ledger) -> None:
    """Take down what nobody would see: errors of tasks and finalizers, which may never be raised."""

    def complain(_: object, context: dict[str, Any]) -> None:
        ledger.wrong.append(f"the loop says: {context.get('message')}: {context.get('exception')!r}")

    def despair(unraisable: Any) -> None:
        ledger.wrong.append(f"a finalizer says: {unraisable.exc_value!r}")

    asyncio.get_running_loop().set_exception_handler(complain)
    sys.unraisablehook = despair


async def soak(seconds: float, faults: float, rate: float, seed: int) -> list[str]:
    dice = random.Random(seed)
    retry = RetryPolicy(wait_initial=0.05, wait_max=0.5, deadline=8)
    with tempfile.TemporaryDirectory() as folder:
        async with serving(faults, seed) as server:
            client = AsyncRetab("sk_soak_0123456789", base_url=server.url, timeout=1.5, retry=retry, proxy=False)
            calls = Calls(client, Path(folder), dice)
            work = Soak(client, server, calls, dice, rate)
            listen(work.ledger)
            try:
                await work.run(seconds)
            finally:
                unconfirmed = await client.aclose()
            ledger = work.ledger
            show(ledger, calls.dispositions, await server.ask(served=None))
    print(f"cancels owed by blocks that could not be confirmed, and were told: {len(unconfirmed)}")
    for each in unconfirmed:
        print(f"    {each}")
    if ledger.begun.total() != ledger.ended.total():
        ledger.wrong.append(f"{ledger.begun.total()} calls were begun, {ledger.ended.total()} ended")
    return judge(work.samples) + ledger.wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--faults", type=float, default=0.01, help="the share of requests that meet one")
    parser.add_argument("--rate", type=float, default=30.0, help="calls a second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.seconds < 10:
        parser.error("slopes need ten seconds at least")
    # Retries are many here, and as they should be.
    logging.getLogger("retab_async").setLevel(logging.CRITICAL)
    wrong = asyncio.run(soak(options.seconds, options.faults, options.rate, options.seed))
    for what, often in Counter(wrong).items():
        print(f"WRONG ({often}): {what}")
    if not wrong:
        print("\nnothing is wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
