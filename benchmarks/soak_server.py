"""Emulator of the soak test, in a process of its own: random faults, and terminal runs are deleted after a while.

    python benchmarks/soak_server.py FAULTS SEED

Prints its address. Then it reads one JSON command a line, and answers each with a line: `{"seed": [kind, count,
running]}` with the ids of new runs, `{"active": null}` with all active runs, `{"served": null}` with the number
of requests and of each fault. Ends with its stdin.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import attrs

from retab_async.emulator import Emulator, Fault
from retab_async.emulator.connection import Connection

# Seconds after which a created run completes: longer than any round, so that a run left active is noticed, and
# bounded, so that the server does not grow.
RUN_SECONDS = 300.0
# Seconds for which a terminal run is kept.
RETENTION = 20.0


def garbled() -> Fault:
    """Let the request take effect, and replace its response by something that is not JSON."""

    async def play(exchange: Connection) -> Any:
        answer = await exchange.handle()
        return attrs.evolve(answer, body=b"<html>", lines=None) if answer.status < 300 else answer

    return Fault("garbled", play)


# 429s are rarer, because without a real limit behind them the client only slows down.
SHARE_OF_RARE = 0.02
RARE = (Fault.status(429), Fault.status(429, retry_after=0.2))
FAULTS = (
    Fault.reset(),
    Fault.reset_after_effect(),
    Fault.truncate(),
    Fault.hang(),
    Fault.hang_after_effect(),
    Fault.delay_after_effect(0.7),
    Fault.delay(0.7),
    Fault.status(500),
    Fault.status(502, body="<html>Bad Gateway</html>"),
    Fault.status(503),
    Fault.status(503, retry_after=0.2),
    garbled(),
)


def mix(emulator: Emulator, share: float, dice: random.Random, met: Counter[str]) -> None:
    """Apply a fault to a share of all requests."""

    async def play(exchange: Connection) -> Any:
        # Queues itself again before any other request is served.
        emulator.fail("*", each)
        if dice.random() >= share:
            return await exchange.handle()
        fault = dice.choice(RARE if dice.random() < SHARE_OF_RARE else FAULTS)
        met[fault.name] += 1
        return await fault.play(exchange)

    each = Fault("mixed", play)
    emulator.fail("*", each)


async def delete_old(emulator: Emulator, served: Counter[str]) -> None:
    """Delete recorded requests and old terminal runs every second, so that the server does not grow."""
    while True:
        await asyncio.sleep(1)
        served["requests"] += len(emulator.requests)
        emulator.requests.clear()
        now = time.monotonic()
        for runs in emulator._service.runs.values():  # noqa: SLF001 - not public
            for run in [run for run in runs if (run.timeline.ended_at(now) or now) < now - RETENTION]:
                runs.remove(run)


async def serve(share: float, seed: int) -> None:
    met: Counter[str] = Counter()
    served: Counter[str] = Counter()
    async with Emulator(queued=0.1, running=RUN_SECONDS) as emulator:
        mix(emulator, share, random.Random(seed), met)
        cleaner = asyncio.create_task(delete_old(emulator, served))
        print(emulator.url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            ((command, argument),) = json.loads(line).items()
            if command == "seed":
                kind, count, running = argument
                answer: Any = emulator.seed(kind, count, running=running)
            elif command == "active":
                answer = emulator.active_runs()
            else:
                answer = {"requests": served["requests"] + len(emulator.requests), "faults": met}
            print(json.dumps(answer), flush=True)
        cleaner.cancel()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2])))
