"""The emulator of the soak, in a process of its own: some requests go wrong at random, and what is over is forgotten.

    python benchmarks/soak_server.py FAULTS SEED

Prints its address; then takes a line of JSON at a time, and answers it with one: `{"seed": [collection, count,
running]}` with the ids of new runs, `{"alive": null}` with those of all runs that are not over, `{"served": null}` with
how many requests there were and which faults they met. Ends with its stdin.
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

# Seconds after which a run that was created is over by itself: longer than any round, so that one that is left alive
# is seen, and not for ever, so that the server stays as it is however long it goes on.
LONGEST_LIFE = 300.0
# Seconds for which a run that is over is kept.
KEPT = 20.0


def garbled() -> Fault:
    """Let the request take effect, and answer 200 with something that is no JSON."""

    async def play(exchange: Connection) -> Any:
        answer = await exchange.handle()
        return attrs.evolve(answer, body=b"<html>", lines=None) if answer.status < 300 else answer

    return Fault("garbled", play)


# A 429 is rarer: without a limit behind it, all that is learned from it is to go no faster than before.
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
    """Have such a share of all requests meet a fault."""

    async def play(exchange: Connection) -> Any:
        # It stands first in the queue of every route again before anything else is served.
        emulator.fail("*", each)
        if dice.random() >= share:
            return await exchange.handle()
        fault = dice.choice(RARE if dice.random() < SHARE_OF_RARE else FAULTS)
        met[fault.name] += 1
        return await fault.play(exchange)

    each = Fault("mixed", play)
    emulator.fail("*", each)


async def forget(emulator: Emulator, served: Counter[str]) -> None:
    """Forget, each second, what was served and the runs that have been over for a while: lists do not grow longer."""
    while True:
        await asyncio.sleep(1)
        served["requests"] += len(emulator.requests)
        emulator.requests.clear()
        now = time.monotonic()
        for runs in emulator._service.runs.values():  # noqa: SLF001 - the API has no such wish
            for run in [run for run in runs if (run.timeline.ended_at(now) or now) < now - KEPT]:
                runs.remove(run)


async def serve(share: float, seed: int) -> None:
    met: Counter[str] = Counter()
    served: Counter[str] = Counter()
    async with Emulator(queued=0.1, running=LONGEST_LIFE) as emulator:
        mix(emulator, share, random.Random(seed), met)
        forgetting = asyncio.create_task(forget(emulator, served))
        print(emulator.url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            ((wish, told),) = json.loads(line).items()
            if wish == "seed":
                collection, count, running = told
                answer: Any = emulator.seed(collection, count, running=running)
            elif wish == "alive":
                answer = emulator.active_runs()
            else:
                answer = {"requests": served["requests"] + len(emulator.requests), "faults": met}
            print(json.dumps(answer), flush=True)
        forgetting.cancel()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2])))
