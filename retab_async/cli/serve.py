"""`retab-async serve`: the emulator of the API, on loopback, until it is interrupted."""

import asyncio
import signal
from contextlib import aclosing

import click

from retab_async.cli.params import limit_from
from retab_async.emulator import Emulator, RateLimit
from retab_async.resources import RESOURCES

_seconds = click.FloatRange(min=0)


@click.command(short_help="Serve the API on loopback, for trials and tests.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0, the default, takes any free one.")
@click.option("--api-key", help="The only key to accept; by default any does.")
@click.option("--queued", type=_seconds, default=0.2, show_default=True, help="Seconds a run waits in the queue.")
@click.option("--running", type=_seconds, default=2.0, show_default=True, help="Seconds a run then takes.")
@click.option("--latency", type=_seconds, default=0.0, show_default=True, help="Seconds before each answer.")
@click.option("--rate-limit", type=limit_from, metavar="REQUESTS/SECONDS", help="Refuse more with 429, such as 300/60.")
@click.option("--retry-after/--no-retry-after", default=True, help="Whether a 429 says how long to wait.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Put so many runs of each kind in flight.")
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
    """Serve the API on loopback for trials and tests; the first line printed is its address.

    The runs it holds are its own inventions. Ctrl-C ends it.
    """
    limit = RateLimit(rate_limit[0], per=rate_limit[1], retry_after=retry_after) if rate_limit else None
    emulator = Emulator(port=port, api_key=api_key, queued=queued, running=running, latency=latency, rate_limit=limit)
    asyncio.run(_serve(emulator, port, seed))


async def _serve(emulator: Emulator, port: int, seed: int) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    try:
        await emulator.start()
    except OSError as error:
        msg = f"cannot listen on port {port}: {error.strerror}"
        raise click.ClickException(msg) from None
    async with aclosing(emulator):
        click.echo(emulator.url)
        click.echo(f"export RETAB_API_BASE_URL={emulator.url} RETAB_API_KEY={emulator.api_key}", err=True)
        for name in RESOURCES:
            for run_id in emulator.seed(name.replace(".", "/"), seed):
                click.echo(f"{name}\t{run_id}")
        await done.wait()
