"""`retab-async serve`: serves the emulator of the API until it is interrupted."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from retab_async.cli.params import OUTPUT_FILE, parse_rate_limit
from retab_async.emulator import Emulator, RateLimit
from retab_async.resources import RESOURCES

_SECONDS = click.FloatRange(min=0)
# Seconds for which seeded runs are in flight unless the command says otherwise: a year.
_IN_FLIGHT = 365 * 86400.0


def _parse_host(text: str) -> str:
    if text == "localhost":
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        msg = f"{text!r} is neither an IP address nor localhost"
        raise click.BadParameter(msg) from None


@click.command(short_help="Serve an emulator of the API.")
@click.option(
    "--host",
    type=_parse_host,
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Listen on this address; 0.0.0.0 serves the whole network.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    metavar="PORT",
    help="Listen on this port; 0 picks a free one.",
)
@click.option("--api-key", metavar="KEY", help="Accept only this key instead of any.")
@click.option("--queued", type=_SECONDS, show_default="0.2", metavar="SECONDS", help="Keep each run queued this long.")
@click.option(
    "--running",
    type=_SECONDS,
    show_default="2",
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
    help="Refuse requests above this rate, such as 300/60 or 300/min, with 429.",
)
@click.option(
    "--retry-after/--no-retry-after", default=True, show_default=True, help="Send Retry-After with each 429, or not."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Start N runs of each kind, which stay in flight unless --queued or --running is given.",
)
@click.option(
    "--ids-file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write the kinds and ids of the started runs to FILE, as CSV for cancel --from-file.",
)
def serve(
    *,
    rate_limit: tuple[int, float] | None,
    retry_after: bool,
    seed: int,
    ids_file: str | None,
    **settings: Any,
) -> None:
    """Serve an emulator of the API for experiments and tests, on loopback unless --host is given.

    The first lines printed set the environment for clients. The emulator invents the results of runs. Ctrl-C stops it.
    """
    limit = RateLimit(rate_limit[0], per=rate_limit[1], retry_after=retry_after) if rate_limit else None
    times = {name: settings.pop(name) for name in ("queued", "running")}
    given = {name: seconds for name, seconds in times.items() if seconds is not None}
    emulator = Emulator(**settings, **given, rate_limit=limit)
    seeds = partial(_seed, emulator, seed, ids_file, running=None if given else _IN_FLIGHT)
    asyncio.run(_serve(emulator, settings["port"], seeds if seed else lambda: None))


async def _serve(emulator: Emulator, port: int, seed: Callable[[], str | None]) -> None:
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
        # Before the first line: a script that reads it may read the file of ids next.
        started = seed()
        click.echo(f"export RETAB_API_BASE_URL={emulator.url}")
        click.echo(f"export RETAB_API_KEY={emulator.api_key}")
        if not _is_loopback(emulator.url):
            click.echo("export RETAB_API_ALLOW_HTTP=1")
        if started:
            click.echo(started)
        await stopped.wait()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return ip_address(host).is_loopback


def _seed(emulator: Emulator, count: int, ids_file: str | None, *, running: float | None) -> str:
    rows = [(kind, run_id) for kind in RESOURCES for run_id in emulator.seed(kind, count, running=running)]
    if ids_file is not None:
        lines = "".join(f"{kind},{run_id}\n" for kind, run_id in [("kind", "id"), *rows])
        try:
            Path(ids_file).write_text(lines)
        except OSError as error:
            msg = f"{ids_file} cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None
    return f"started {len(rows):,} runs of {len(RESOURCES)} kinds"
