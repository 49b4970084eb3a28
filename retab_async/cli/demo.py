"""`retab-async demo`: the main job, shown on the emulator with no key and no network."""

import asyncio
import random
import time
from collections import Counter

import click

from retab_async.cli.outcomes import Outcome, Verb, carry_out
from retab_async.cli.printing import print_json, print_rows
from retab_async.cli.progress import progress
from retab_async.client import AsyncRetab
from retab_async.emulator import Emulator, Fault


@click.command(short_help="Cancel several hundred runs on a local emulator.")
@click.option(
    "--runs", type=click.IntRange(min=2), default=600, show_default=True, help="Splits and partitions, together."
)
@click.option("--concurrency", type=click.IntRange(min=1), default=50, show_default=True, help="Cancels in flight.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def demo(*, runs: int, concurrency: int, as_json: bool) -> int:
    """Start several hundred runs on a local emulator and cancel them all at once.

    Some of them finish first, and a few answers are lost on the way, as they are in life.
    """
    return asyncio.run(_demonstrate(runs, concurrency, as_json=as_json))


async def _demonstrate(runs: int, concurrency: int, *, as_json: bool) -> int:
    started = time.perf_counter()
    outcomes, requests = await _cancel_all(runs, concurrency)
    report = _report(outcomes, requests, time.perf_counter() - started)
    if as_json:
        print_json(report)
    else:
        print_rows(("what", "how many"), [(what.replace("_", " "), str(count)) for what, count in report.items()])
    return int(report["failed"] > 0)


async def _cancel_all(runs: int, concurrency: int) -> tuple[list[Outcome], int]:
    async with Emulator(latency=0.05) as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
        kinds = (("splits", client.splits.cancel), ("partitions", client.partitions.cancel))
        cancels: list[tuple[str, Verb]] = []
        for number in range(runs):
            name, cancel = kinds[number % len(kinds)]
            (run_id,) = emulator.seed(name, queued=0.05, running=random.uniform(0.1, 4.0))
            cancels.append((run_id, cancel))
        emulator.fail(
            "POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0.2), Fault.reset(), Fault.late_reset()
        )
        with progress("cancelling", runs) as tally:
            outcomes = await carry_out(cancels, concurrency=concurrency, tell=tally.tell)
        return outcomes, len(emulator.requests)


def _report(outcomes: list[Outcome], requests: int, seconds: float) -> dict[str, float]:
    dispositions = Counter(outcome.disposition for outcome in outcomes)
    return {
        "cancelled": dispositions["cancelled"],
        "finished_before": dispositions["finished"],
        "failed": len(outcomes) - dispositions["cancelled"] - dispositions["finished"],
        "seconds": round(seconds, 2),
        "requests": requests,
        "retries": requests - len(outcomes),
    }
