"""`retab-async serve`: serves the emulator of the API on loopback until it is interrupted."""

import asyncio
import signal
from contextlib import aclosing

import click

from retab_async.cli.params import parse_rate_limit
from retab_async.emulator import Emulator, RateLimit
from retab_async.resources import RESOURCES

_SECONDS = click.FloatRange(min=0)


@click.command(short_help="Serve an emulator of the API on loopback.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Listen on this port; 0 picks a free one.",
)
@click.option("--api-key", metavar="KEY", help="Accept only this key instead of any.")
@click.option(
    "--queued", type=_SECONDS, default=0.2, show_default=True, metavar="SECONDS", help="Keep each run queued this long."
)
@click.option(
    "--running",
    type=_SECONDS,
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Then keep it running this long.",
)
@click.option(
    "--latency", type=_SECONDS, default=0.0, show_default=True, metavar="SECONDS", help="Delay each response this long."
)
@click.option(
    "--rate-limit",
    type=parse_rate_limit,
    metavar="REQUESTS/SECONDS",
    help="Refuse requests above this rate, such as 300/60, with 429.",
)
@click.option(
    "--retry-after/--no-retry-after", default=True, show_default=True, help="Send Retry-After with each 429, or not."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Start N runs of each kind."
)
def serve(  # noqa: PLR0913 - the options of the command
    *,
    port: int,
    api_key: str | None,
    queued: float,
    running: float,
    latency: float,
    rate_limit: tuple[int, float] | None,
    retry_after: bool,
    seed: int,
) -> None:
    """Serve an emulator of the API on loopback, for experiments and tests.

    The first line printed is its address. It invents the results of runs. Ctrl-C stops it.
    """
    limit = RateLimit(rate_limit[0], per=rate_limit[1], retry_after=retry_after) if rate_limit else None
    emulator = Emulator(port=port, api_key=api_key, queued=queued, running=running, latency=latency, rate_limit=limit)
    asyncio.run(_serve(emulator, port, seed))


async def _serve(emulator: Emulator, port: int, seed: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await emulator.start()
    except OSError as error:
        msg = f"cannot listen on port {port}: {error.strerror}"
        raise click.ClickException(msg) from None
    async with aclosing(emulator):
        click.echo(emulator.url)
        click.echo(f"export RETAB_API_BASE_URL={emulator.url} RETAB_API_KEY={emulator.api_key}", err=True)
        for kind in RESOURCES:
            for run_id in emulator.seed(kind.replace(".", "/"), seed):
                click.echo(f"{kind}\t{run_id}")
        await stopped.wait()
