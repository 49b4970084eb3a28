"""`retab-async demo`: the main job, shown on the emulator with no key and no network."""

import asyncio
import random

import click

from retab_async.bulk import CancelReport, Disposition
from retab_async.cli.output import print_json, print_rows
from retab_async.cli.progress import JobProgress, live_progress
from retab_async.client import AsyncRetab
from retab_async.emulator import Emulator, Fault

_KINDS = ("splits", "partitions")


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
    told, requests = await _cancel_all(runs, concurrency)
    figures = _figures(told, requests)
    if as_json:
        print_json(figures)
    else:
        print_rows(("what", "how many"), [(what.replace("_", " "), str(count)) for what, count in figures.items()])
    return int(figures["failed"] > 0)


async def _cancel_all(runs: int, concurrency: int) -> tuple[CancelReport, int]:
    async with Emulator(latency=0.05) as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
        pairs = []
        for number in range(runs):
            kind = _KINDS[number % len(_KINDS)]
            (run_id,) = emulator.seed(kind, queued=0.05, running=random.uniform(0.1, 4.0))
            pairs.append((kind, run_id))
        emulator.fail(
            "POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0.2), Fault.reset(), Fault.reset_after_effect()
        )
        async with client.cancel_many(pairs, concurrency=concurrency) as job:
            with live_progress(JobProgress("cancelling", runs, lambda: job.report, client.stats), is_wanted=True):
                async for _ in job:
                    pass
        return job.report, len(emulator.requests)


def _figures(told: CancelReport, requests: int) -> dict[str, float]:
    done, finished = told.counts[Disposition.CANCELLED], told.counts[Disposition.FINISHED]
    return {
        "cancelled": done,
        "finished_before": finished,
        "failed": told.counts.total() - done - finished,
        "seconds": round(told.elapsed, 2),
        "requests": requests,
        "retries": requests - told.counts.total(),
    }
