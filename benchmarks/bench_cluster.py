"""`cancel_many` on a local Dask cluster of four workers, below a limit of 200 requests in 2 seconds.

Compares workers that each learn the limit with workers that share it, also when one of them is killed. `--short`
cancels 400 runs instead of 1,600; `--json FILE` writes the figures.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from retab_async import FileRateLimit, RateLimit
from retab_async.emulator import Emulator
from retab_async.integrations.dask import RetabPlugin, cancel_many

WORKERS = 4
REQUESTS, SECONDS = 200, 2.0


async def cancelled(count: int, folder: str, *, is_shared: bool, is_killed: bool = False) -> dict[str, float]:
    """Cancel runs on a fresh cluster, and return seconds, 429 responses and ids that were sent twice."""
    make_cluster: Any = LocalCluster
    make_client: Any = Client
    options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None, "asynchronous": True}
    limit = FileRateLimit(str(Path(folder) / "retab.limit"), REQUESTS, per=SECONDS) if is_shared else None
    async with (
        Emulator(queued=600, rate_limit=RateLimit(REQUESTS, per=SECONDS)) as emulator,
        make_cluster(**options) as cluster,
        make_client(cluster, asynchronous=True) as client,
    ):
        await client.register_plugin(RetabPlugin(base_url=emulator.url, rate_limit=limit))
        ids = emulator.seed("splits", count)
        pids = list((await client.run(os.getpid)).values())
        started = time.perf_counter()
        job = asyncio.ensure_future(
            cancel_many(client, "splits", ids, partitions=WORKERS, journals=Path(folder) / "journals")
        )
        if is_killed:
            await asyncio.sleep(count / 1600 * 4)
            os.kill(pids[0], signal.SIGKILL)
        report = await job
        seconds = time.perf_counter() - started
        assert report.counts.total() == count
        assert not emulator.active_runs()
        accepted = sum(request.status == 200 for request in emulator.requests)
        return {"seconds": seconds, "429 responses": emulator.counts[429], "sent twice": accepted - count}


async def main(*, short: bool) -> dict[str, dict[str, float]]:
    os.environ["RETAB_API_KEY"] = "sk_benchmark"
    count = 400 if short else 1600
    print(f"{count} ids, least possible {(count / REQUESTS - 1) * SECONDS:.1f} s")
    modes: dict[str, dict[str, bool]] = {
        "each learns the limit": {"is_shared": False},
        "shared limit": {"is_shared": True},
        "shared, one worker killed": {"is_shared": True, "is_killed": True},
    }
    found = {}
    for name, mode in modes.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = await cancelled(count, folder, **mode)
        print(f"{name:26}", "  ".join(f"{label} {value:.1f}" for label, value in found[name].items()))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="400 ids instead of 1,600")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    figures = asyncio.run(main(short=arguments.short))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")
