"""A process job that is killed, or ended by a signal, and resumed from its journal."""

import asyncio
import csv
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retab_async import AsyncRetab
from retab_async.emulator import Emulator, Fault

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]

JOB = """
import asyncio
import json
import sys
from pathlib import Path
from retab_async import AsyncRetab

async def main(url, folder, journal, out):
    paths = sorted(Path(folder).glob("*.pdf"))
    async with AsyncRetab("sk_test", base_url=url) as client:
        job = client.splits.process_many(paths, subdocuments=[{"name": "a"}], concurrency=8, journal=journal)
        with open(out, "a") as rows:
            async with job as results:
                async for result in results:
                    rows.write(json.dumps(result.to_record()) + "\\n")
                    rows.flush()
    print(json.dumps([results.report.counts, results.report.settled]))

asyncio.run(main(*sys.argv[1:]))
"""


# Every document is too large for the body of a create.
LARGE = f"import retab_async.documents.create_body as body\nbody._MAX_BODY_BYTES = 4\n{JOB}"

# Its rows are in memory until the end, as those of a data frame.
TABLE = """
import asyncio
import json
import sys
from pathlib import Path
from retab_async import AsyncRetab

async def main(url, folder, journal):
    paths = sorted(Path(folder).glob("*.pdf"))
    async with AsyncRetab("sk_test", base_url=url) as client:
        async with client.splits.process_many(
            paths, subdocuments=[{"name": "a"}], concurrency=8, journal=journal, include_settled=True
        ) as results:
            rows = [result.to_record() async for result in results]
    print(json.dumps([rows, results.report.settled]))

asyncio.run(main(*sys.argv[1:]))
"""


async def begun(emulator: Emulator, *paths: Path, script: str = JOB) -> asyncio.subprocess.Process:
    line = (sys.executable, "-c", script, emulator.url, *map(str, paths))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*line, stdout=pipe, stderr=pipe)


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.01)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in found if line.endswith(b"\n")]


def folder_of(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.pdf").write_bytes(b"%%PDF %d" % number)
    return folder


async def test_a_killed_job_and_its_resumption_create_each_run_once_and_lose_no_result(tmp_path: Path) -> None:
    folder, journal, out = folder_of(tmp_path, 60), tmp_path / "out.jsonl", tmp_path / "rows.jsonl"
    async with Emulator(queued=0, running=0.3) as emulator:
        job = await begun(emulator, folder, journal, out)
        await soon(lambda: len(whole_lines(out)) > 16)
        job.kill()
        assert await job.wait() == -signal.SIGKILL
        before = Counter(row["item"] for row in whole_lines(out))
        settled = {line["name"] for line in whole_lines(journal)[1:] if line["final"]}
        assert settled <= set(before)
        # The result in hand, and what ended in the last milliseconds.
        assert len(set(before) - settled) <= 9
        assert 0 < len(before) < 60

        with journal.open("ab") as torn:
            torn.write(b'{"kind":"splits","run_id":"')
        stdout, stderr = await (await begun(emulator, folder, journal, out)).communicate()

        counts, earlier = json.loads(stdout)
        assert counts == {"completed": 60}, stderr
        assert earlier == {"completed": len(settled)}
        rows = whole_lines(out)
        assert {row["item"] for row in rows} == {str(path) for path in folder.iterdir()}
        assert len({row["run_id"] for row in rows}) == 60
        page = await _all_runs(emulator)
        assert len(page) == 60
        assert emulator.active_runs() == []


async def test_document_that_was_uploaded_when_the_job_was_killed_gets_one_run(tmp_path: Path) -> None:
    folder, journal, out = folder_of(tmp_path, 8), tmp_path / "out.jsonl", tmp_path / "rows.jsonl"
    async with Emulator(queued=0, running=0) as emulator:
        emulator.fail("POST /v1/splits", *[Fault.hang_after_effect()] * 4, *[Fault.hang()] * 4)
        job = await begun(emulator, folder, journal, out, script=LARGE)
        await soon(lambda: creates(emulator) == 8)
        job.kill()
        await job.wait()

        stdout, stderr = await (await begun(emulator, folder, journal, out, script=LARGE)).communicate()

        assert json.loads(stdout) == [{"completed": 8}, {}], stderr
        assert len(await _all_runs(emulator)) == 8
        assert [request.path for request in emulator.requests].count("/v1/files/upload") == 8


def creates(emulator: Emulator) -> int:
    return sum(request.method == "POST" and request.path == "/v1/splits" for request in emulator.requests)


async def test_rows_in_memory_are_complete_after_a_kill_and_a_resumption(tmp_path: Path) -> None:
    folder, journal = folder_of(tmp_path, 40), tmp_path / "out.jsonl"

    def settled() -> int:
        return sum(line["final"] for line in whole_lines(journal)[1:])

    async with Emulator(queued=0, running=0.3) as emulator:
        job = await begun(emulator, folder, journal, script=TABLE)
        await soon(settled)
        job.kill()
        assert await job.wait() == -signal.SIGKILL
        before = settled()
        assert 0 < before < 40

        stdout, stderr = await (await begun(emulator, folder, journal, script=TABLE)).communicate()

        rows, earlier = json.loads(stdout)
        assert earlier == {"completed": before}, stderr
        assert sorted(row["item"] for row in rows) == sorted(str(path) for path in folder.iterdir())
        assert {row["status"] for row in rows} == {"completed"}
        assert sorted(row["run_id"] for row in rows) == sorted(await _all_runs(emulator))


async def test_out_of_a_killed_command_is_complete_after_the_same_command(tmp_path: Path) -> None:
    folder, journal = folder_of(tmp_path, 40), tmp_path / "out.jsonl"
    out = tmp_path / "table.csv"
    line = ("splits", "process", f"{folder}/*.pdf", "--subdocument", "a", "--concurrency", "8")
    async with Emulator(queued=0, running=0.3) as emulator:
        environment = {**os.environ, "RETAB_API_BASE_URL": emulator.url, "RETAB_API_KEY": "sk_test"}

        async def command() -> asyncio.subprocess.Process:
            files = ("--journal", str(journal), "--out", str(out))
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "retab_async", *line, *files, env=environment, stdout=pipe, stderr=pipe
            )

        job = await command()
        await soon(lambda: sum(entry["final"] for entry in whole_lines(journal)[1:]))
        job.kill()
        await job.wait()
        # Another machine that has the journal alone.
        (tmp_path / ".table.csv.part").unlink()

        job = await command()
        _, stderr = await job.communicate()

        assert job.returncode == 0, stderr
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert sorted(row["item"] for row in rows) == sorted(str(path) for path in folder.iterdir())
        assert sorted(row["run_id"] for row in rows) == sorted(await _all_runs(emulator))


async def test_a_signal_cancels_the_runs_in_flight(tmp_path: Path) -> None:
    folder, journal, out = folder_of(tmp_path, 20), tmp_path / "out.jsonl", tmp_path / "rows.jsonl"
    async with Emulator(queued=600) as emulator:
        job = await begun(emulator, folder, journal, out)
        await soon(lambda: len(emulator.active_runs()) == 8)
        job.send_signal(signal.SIGINT)
        _, stderr = await job.communicate()

        assert b"KeyboardInterrupt" in stderr
        assert emulator.active_runs() == []


async def _all_runs(emulator: Emulator) -> list[str]:
    async with AsyncRetab("sk_test", base_url=emulator.url) as client:
        return [run.id async for run in client.splits.list()]
