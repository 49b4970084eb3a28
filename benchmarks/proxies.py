"""Bulk cancels through real nginx and haproxy in front of the emulator.

    python benchmarks/proxies.py [--short] [SCENARIO ...]

Needs the programs `nginx` and `haproxy` of the distribution; the scenarios of one that is not installed are skipped.
Everything listens on loopback, and the proxies run as child processes. Scenarios:

    nginx-limit          limit by key: 50 a second, burst 10, 429 without Retry-After
    nginx-retry-after    the same limit, with Retry-After: 1
    nginx-reload         five reloads of the configuration during the job
    nginx-keepalive      connections closed by the proxy after 40 requests
    nginx-restart        the upstream is away for a second during the job: 502
    haproxy-limit        stick table by key: 100 in 2 s, rejected requests count too, 429 without Retry-After
    haproxy-overload     4 connections to the server, 0.3 s in the queue, then 503
    haproxy-restart      the upstream is away for a second during the job: 503

Prints for each the wall time, the shortest possible time under the proxy's limit, their ratio, the responses by status
that the client received, and the outcomes. `--short` takes a tenth of the ids. Exits with 1 if an id was not cancelled.
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from retab_async import AsyncRetab
from retab_async.emulator import Emulator

START_TIMEOUT = 10.0
AWAY_SECONDS = 1.0
RELOADS = 5

NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_zone $http_api_key zone=key:1m rate=50r/s;
    upstream api {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {options}
        location / {{
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
"""
NGINX_LIMIT = "limit_req zone=key burst=10 nodelay; limit_req_status 429;"
HAPROXY = """\
global
    maxconn 1000
defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout queue 300ms
frontend in
    bind 127.0.0.1:{port}
    {options}
    default_backend api
backend api
    server emulator 127.0.0.1:{upstream} {server_options}
"""
HAPROXY_LIMIT = """\
stick-table type string len 64 size 1k expire 10s store http_req_rate(2s)
    http-request track-sc0 req.hdr(Api-Key)
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100 }"""


class Proxy(NamedTuple):
    """Running proxy in front of the emulator."""

    url: str
    process: asyncio.subprocess.Process
    emulator: Emulator


class Scenario(NamedTuple):
    """Configuration of a proxy, number of ids, and what happens during the job.

    `possible_seconds` is the shortest possible time for the number of ids; None without a limit. With `server_slots`,
    the requests that the server takes at once, it is measured: a job of that concurrency, which overloads nothing.
    """

    program: str
    options: str = ""
    server_options: str = ""
    ids: int = 2000
    latency: float = 0.0
    possible_seconds: Callable[[int], float] | None = None
    server_slots: int = 0
    disturb: Callable[[Proxy], Coroutine[Any, Any, None]] | None = None


class Figures(NamedTuple):
    """Result of a scenario."""

    ids: int
    seconds: float
    possible: float | None
    statuses: Counter[int]
    outcomes: Counter[str]


async def reload_nginx(proxy: Proxy) -> None:
    for _ in range(RELOADS):
        await asyncio.sleep(0.2)
        proxy.process.send_signal(signal.SIGHUP)


async def restart_upstream(proxy: Proxy) -> None:
    await asyncio.sleep(0.2)
    await proxy.emulator.aclose()
    await asyncio.sleep(AWAY_SECONDS)
    await proxy.emulator.start()


SCENARIOS = {
    "nginx-limit": Scenario("nginx", NGINX_LIMIT, ids=600, possible_seconds=lambda ids: (ids - 10) / 50),
    "nginx-retry-after": Scenario(
        "nginx",
        f"{NGINX_LIMIT} add_header Retry-After 1 always;",
        ids=600,
        possible_seconds=lambda ids: (ids - 10) / 50,
    ),
    "nginx-reload": Scenario("nginx", ids=6000, disturb=reload_nginx),
    "nginx-keepalive": Scenario("nginx", "keepalive_requests 40;"),
    "nginx-restart": Scenario("nginx", disturb=restart_upstream),
    # Its counter weights the last period: after the first hundred it lets none through until that begins to fade.
    "haproxy-limit": Scenario("haproxy", HAPROXY_LIMIT, ids=600, possible_seconds=lambda ids: ids / 50),
    "haproxy-overload": Scenario("haproxy", server_options="maxconn 4", ids=3000, latency=0.01, server_slots=4),
    "haproxy-restart": Scenario("haproxy", disturb=restart_upstream),
}


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def command_line(scenario: Scenario, folder: Path, port: int, upstream: int) -> list[str]:
    """Write the configuration of the proxy, and return the command that runs it in the foreground."""
    config = folder / "proxy.conf"
    if scenario.program == "nginx":
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(
            NGINX.format(folder=folder, port=port, upstream=upstream, options=scenario.options, user=user)
        )
        return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    config.write_text(
        HAPROXY.format(port=port, upstream=upstream, options=scenario.options, server_options=scenario.server_options)
    )
    return ["haproxy", "-db", "-q", "-f", str(config)]


@asynccontextmanager
async def running_proxy(scenario: Scenario, folder: Path) -> AsyncIterator[Proxy]:
    port = unused_port()
    # A fixed port, so that the emulator is found again after a restart.
    emulator = Emulator(port=unused_port(), running=3600, latency=scenario.latency)
    async with emulator:
        line = command_line(scenario, folder, port, int(emulator.url.rpartition(":")[2]))
        process = await asyncio.create_subprocess_exec(*line, stderr=asyncio.subprocess.DEVNULL)
        try:
            await until_listening(port)
            yield Proxy(f"http://127.0.0.1:{port}", process, emulator)
        finally:
            process.terminate()
            await process.wait()


async def until_listening(port: int) -> None:
    async with asyncio.timeout(START_TIMEOUT):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def counting(statuses: Counter[int]) -> aiohttp.TraceConfig:
    """Count the responses that reach the client, by status."""

    async def on_end(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        statuses[params.response.status] += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_end)
    return trace


async def measure(scenario: Scenario, ids: int) -> Figures:
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_proxy(scenario, Path(folder)) as proxy,
            AsyncRetab(
                proxy.emulator.api_key, base_url=proxy.url, proxy=False, trace_configs=[counting(statuses)]
            ) as client,
        ):
            possible = scenario.possible_seconds(ids) if scenario.possible_seconds else None
            if scenario.server_slots:
                possible = await seconds_to_cancel(client, proxy.emulator.seed("splits", ids), scenario.server_slots)
                statuses.clear()
            runs = proxy.emulator.seed("splits", ids)
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                job = group.create_task(cancel(client, runs))
                if scenario.disturb is not None:
                    group.create_task(scenario.disturb(proxy))
            outcomes, ended = job.result()
    return Figures(ids, ended - began, possible, statuses, outcomes)


async def seconds_to_cancel(client: AsyncRetab, runs: list[str], concurrency: int) -> float:
    began = time.perf_counter()
    await client.splits.cancel_many(runs, concurrency=concurrency)
    return time.perf_counter() - began


async def cancel(client: AsyncRetab, runs: list[str]) -> tuple[Counter[str], float]:
    report = await client.splits.cancel_many(runs)
    return Counter({str(disposition): count for disposition, count in report.counts.items()}), time.perf_counter()


def show(name: str, figures: Figures) -> None:
    possible = figures.possible
    limit = f"{possible:>10.1f}{figures.seconds / possible:>7.2f}" if possible else f"{'-':>10}{'-':>7}"
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(figures.statuses.items()))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in figures.outcomes.most_common())
    print(f"{name:<19}{figures.ids:>6}{figures.seconds:>9.2f}{limit}  {outcomes} ({statuses})", flush=True)


async def run(names: list[str], share: float) -> int:
    print(f"{'scenario':<19}{'ids':>6}{'wall s':>9}{'possible':>10}{'ratio':>7}  outcomes (responses)")
    failures = 0
    for name in names:
        scenario = SCENARIOS[name]
        if shutil.which(scenario.program) is None:
            print(f"{name:<19}skipped: {scenario.program} is not installed")
            continue
        figures = await measure(scenario, int(scenario.ids * share))
        show(name, figures)
        failures += figures.outcomes["cancelled"] != figures.ids
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="all by default")
    parser.add_argument("--short", action="store_true", help="a tenth of the ids")
    options = parser.parse_args()
    unknown = set(options.names) - SCENARIOS.keys()
    if unknown:
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    # Retries are in the figures.
    logging.getLogger("retab_async").setLevel(logging.CRITICAL)
    sys.exit(bool(asyncio.run(run(options.names or [*SCENARIOS], 0.1 if options.short else 1))))


if __name__ == "__main__":
    main()
