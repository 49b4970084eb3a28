"""`retab-async demo`: cancels several hundred runs on the emulator, without a key or a network."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import click

from retab_async.bulk import CancelJob, Disposition
from retab_async.cli.output import print_json, print_table
from retab_async.cli.params import POSITIVE_INT
from retab_async.cli.progress import JobFigures, job_progress
from retab_async.client import AsyncRetab
from retab_async.emulator import Emulator, Fault
from retab_async.models import Run

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
    async with open_demo(runs, concurrency) as demonstration:
        with job_progress(demonstration.figures):
            async for _ in demonstration.job:
                pass
        counts = demonstration.counts()
    if as_json:
        print_json(counts)
    else:
        print_table(*demo_table(counts))
    return int(counts["failed"] > 0)


@attrs.frozen
class Demonstration:
    """A bulk cancel on an emulator that is served meanwhile.

    Attributes:
        job: The job, which has started.
        figures: What its progress display shows.
        emulator: The emulator.
    """

    job: CancelJob[Run]
    figures: JobFigures
    emulator: Emulator

    def counts(self) -> dict[str, float]:
        """Return the results of the job, by their names."""
        report, requests = self.job.report, len(self.emulator.requests)
        cancelled, finished = report.counts[Disposition.CANCELLED], report.counts[Disposition.FINISHED]
        return {
            "cancelled": cancelled,
            "finished_before": finished,
            "failed": report.counts.total() - cancelled - finished,
            "seconds": round(report.elapsed, 2),
            "requests": requests,
            "retries": requests - report.counts.total(),
        }


@asynccontextmanager
async def open_demo(runs: int, concurrency: int) -> AsyncIterator[Demonstration]:
    """Start runs on an emulator, and a job that cancels them all."""
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
            figures = JobFigures("cancelling", runs, lambda: job.report, client.stats)
            yield Demonstration(job, figures, emulator)


def demo_table(counts: Mapping[str, float]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    """Return the headings and the rows of the table of results."""
    return ("result", "count"), [(name.replace("_", " "), str(count)) for name, count in counts.items()]
