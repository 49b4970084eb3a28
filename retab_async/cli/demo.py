"""`retab-async demo`: cancels several hundred runs on the emulator, without a key or a network."""

import asyncio
import random

import click

from retab_async.bulk import CancelReport, Disposition
from retab_async.cli.output import print_json, print_table
from retab_async.cli.params import POSITIVE_INT
from retab_async.cli.progress import JobFigures, job_progress
from retab_async.client import AsyncRetab
from retab_async.emulator import Emulator, Fault

_KINDS = ("splits", "partitions")


@click.command(short_help="Cancel several hundred runs on a local emulator.")
@click.option(
    "--runs",
    type=click.IntRange(min=2),
    default=600,
    show_default=True,
    metavar="N",
    help="Start N runs, half of them splits and half partitions.",
)
@click.option(
    "--concurrency",
    type=POSITIVE_INT,
    default=50,
    show_default=True,
    metavar="N",
    help="Send up to N cancels at the same time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def demo(*, runs: int, concurrency: int, as_json: bool) -> int:
    """Start several hundred runs on a local emulator and cancel them all.

    Some of them finish first, and a few responses are lost on the way, as on a real network.
    """
    return asyncio.run(_demonstrate(runs, concurrency, as_json=as_json))


async def _demonstrate(runs: int, concurrency: int, *, as_json: bool) -> int:
    report, requests = await _cancel_all(runs, concurrency)
    figures = _figures(report, requests)
    if as_json:
        print_json(figures)
    else:
        print_table(("result", "count"), [(name.replace("_", " "), str(count)) for name, count in figures.items()])
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
            with job_progress(JobFigures("cancelling", runs, lambda: job.report, client.stats)):
                async for _ in job:
                    pass
        return job.report, len(emulator.requests)


def _figures(report: CancelReport, requests: int) -> dict[str, float]:
    cancelled, finished = report.counts[Disposition.CANCELLED], report.counts[Disposition.FINISHED]
    return {
        "cancelled": cancelled,
        "finished_before": finished,
        "failed": report.counts.total() - cancelled - finished,
        "seconds": round(report.elapsed, 2),
        "requests": requests,
        "retries": requests - report.counts.total(),
    }
