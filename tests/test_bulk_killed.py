"""A bulk cancel that is killed and resumed from its journal."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from retab_async.emulator import Emulator

JOB = """
import asyncio
import json
import sys
from pathlib import Path

from retab_async import AsyncRetab

async def main(url, ids, journal):
    async with AsyncRetab("sk_test", base_url=url) as client:
        report = await client.splits.cancel_many(Path(ids).read_text().split(), concurrency=8, journal=journal)
    print(json.dumps(report.counts))

asyncio.run(main(*sys.argv[1:]))
"""


async def begun(emulator: Emulator, ids: Path, journal: Path) -> asyncio.subprocess.Process:
    line = (sys.executable, "-c", JOB, emulator.url, str(ids), str(journal))
    return await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.01)


def settled(journal: Path) -> list[str]:
    whole = journal.read_bytes().splitlines(keepends=True)[1:] if journal.exists() else []
    return [json.loads(line)["run_id"] for line in whole if line.endswith(b"\n")]


def sends(emulator: Emulator) -> Counter[str]:
    return Counter(request.path.split("/")[-2] for request in emulator.requests)


@pytest.mark.slow
@pytest.mark.subprocess
async def test_a_killed_job_and_its_resumption_have_one_outcome_for_each_id(tmp_path: Path) -> None:
    ids, journal = tmp_path / "ids.txt", tmp_path / "cancel.jsonl"
    async with Emulator(queued=600, latency=0.03) as emulator:
        seeded = emulator.seed("splits", 400)
        ids.write_text("\n".join(seeded))

        job = await begun(emulator, ids, journal)
        await soon(lambda: settled(journal) and len(emulator.requests) > 200)
        job.kill()
        assert await job.wait() == -signal.SIGKILL
        first, sent = settled(journal), sends(emulator)
        assert 0 < len(first) <= len(sent) < 400

        with journal.open("ab") as torn:
            torn.write(b'{"kind":"splits","run_id":"' + seeded[-1].encode())
        out, _ = await (await begun(emulator, ids, journal)).communicate()

        assert json.loads(out) == {"cancelled": 400}
        assert emulator.active_runs() == []
        assert settled(journal)[: len(first)] == first
        assert sorted(settled(journal)) == sorted(seeded)
        twice = [run_id for run_id, times in sends(emulator).items() if times > 1]
        assert not set(twice) & set(first)
        assert len(twice) <= len(sent) - len(first) + 8
        # The 8 in flight, and what was answered in the last milliseconds: at 0.03 s an answer, 64 are 0.2 s.
        assert len(twice) <= 64
