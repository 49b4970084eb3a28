"""`retab-async serve`: serves the emulator of the API until it is interrupted."""

import asyncio
import signal
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from retab_async.cli.params import OUTPUT_FILE, parse_rate_limit
from retab_async.emulator import Emulator, RateLimit
from retab_async.resources import RESOURCES

_SECONDS = click.FloatRange(min=0)


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
    help="Refuse requests above this rate, such as 300/60 or 300/min, with 429.",
)
@click.option(
    "--retry-after/--no-retry-after", default=True, show_default=True, help="Send Retry-After with each 429, or not."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Start N runs of each kind."
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
    asyncio.run(_serve(Emulator(**settings, rate_limit=limit), settings["port"], seed, ids_file))


async def _serve(emulator: Emulator, port: int, seed: int, ids_file: str | None) -> None:
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
        click.echo(f"export RETAB_API_BASE_URL={emulator.url}")
        click.echo(f"export RETAB_API_KEY={emulator.api_key}")
        if not _is_loopback(emulator.url):
            click.echo("export RETAB_API_ALLOW_HTTP=1")
        if seed:
            _seed(emulator, seed, ids_file)
        await stopped.wait()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return ip_address(host).is_loopback


def _seed(emulator: Emulator, count: int, ids_file: str | None) -> None:
    rows = [(kind, run_id) for kind in RESOURCES for run_id in emulator.seed(kind.replace(".", "/"), count)]
    if ids_file is not None:
        lines = "".join(f"{kind},{run_id}\n" for kind, run_id in [("kind", "id"), *rows])
        try:
            Path(ids_file).write_text(lines)
        except OSError as error:
            msg = f"{ids_file} cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None
    click.echo(f"started {len(rows):,} runs of {len(RESOURCES)} kinds")
