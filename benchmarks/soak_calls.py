"""Calls of the soak test: one for each verb, with ids from a supply, and assertions on the results."""

import asyncio
import io
import random
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from retab_async import AsyncRetab, Split, Subdocument

PDF = b"%PDF-1.7\n" + bytes(2_000)
# Seconds, instead of the defaults of up to half an hour.
MAX_SECONDS = 4.0


class LeftError(Exception):
    """Ends a block early."""


class Supply:
    """Ids of runs by kind; `wanted` maps each kind to the durations of its runs in seconds."""

    wanted: Mapping[str, tuple[float, ...]] = {
        "splits": (0.3, 1.0, 60.0, 60.0),
        "classifications": (0.5, 60.0),
        "parses": (60.0,),
    }

    def __init__(self, dice: random.Random) -> None:
        self.ids: dict[str, deque[str]] = {kind: deque() for kind in self.wanted}
        self._dice = dice

    def add(self, kind: str, ids: Iterable[str]) -> None:
        """Add ids, in random order."""
        mixed = [*self.ids[kind], *ids]
        self._dice.shuffle(mixed)
        self.ids[kind] = deque(mixed)

    def take(self, kind: str, count: int) -> list[str]:
        """Remove and return up to `count` ids."""
        ids = self.ids[kind]
        return [ids.popleft() for _ in range(min(count, len(ids)))]


class Calls:
    """Calls of a client; `owned` are the runs that blocks owned, besides all partitions."""

    def __init__(self, client: AsyncRetab, folder: Path, dice: random.Random) -> None:
        self.supply = Supply(dice)
        self.owned: set[str] = set()
        self.dispositions: Counter[str] = Counter()
        self._client = client
        self._folder = folder
        self._dice = dice
        self._created: deque[Split] = deque(maxlen=50)
        self._file = folder / "batch.pdf"
        self._file.write_bytes(PDF * 50)

    def verbs(self) -> dict[str, tuple[int, Callable[[], Awaitable[None]]]]:
        """Return the verbs, each with its relative frequency and its call."""
        return {
            "cancel": (6, self.cancel),
            "get": (6, self.get),
            "list": (3, self.list),
            "wait": (6, self.wait),
            "wait_many": (2, self.wait_many),
            "create": (6, self.create),
            "delete": (4, self.delete),
            "running": (6, self.running),
            "attach": (3, self.attach),
            "stream": (1, self.stream),
            "cancel_many": (3, self.cancel_many),
            "cancel_many, kinds": (1, self.cancel_many_kinds),
            "cancel_matching": (1, self.cancel_matching),
        }

    async def cancel(self) -> None:
        for run_id in self.supply.take("splits", 1):
            run = await self._client.splits.cancel(run_id)
            assert run.id == run_id
            assert run.status.is_terminal

    async def get(self) -> None:
        for run_id in self.supply.take("splits", 1):
            run = await self._client.splits.get(run_id, include_output=self._dice.random() < 0.5)
            assert run.id == run_id

    async def list(self) -> None:
        runs = self._client.splits.list(limit=20)
        if self._dice.random() < 0.3:
            async for page in runs.pages():
                assert page.runs
                break
            return
        seen: set[str] = set()
        async for run in runs:
            assert run.id not in seen
            seen.add(run.id)
            if len(seen) == 50:
                break

    async def wait(self) -> None:
        for run_id in self.supply.take("splits", 1):
            run = await self._client.splits.wait(run_id, timeout=3)
            assert run.id == run_id
            assert run.status.is_terminal

    async def wait_many(self) -> None:
        ids = self.supply.take("splits", 10)
        leaves_after = self._dice.choice((1, 5, 100))
        seen: list[str] = []
        async with aclosing(self._client.splits.wait_many(ids, timeout=3)) as runs:
            async for run in runs:
                assert run.status.is_terminal
                seen.append(run.id)
                if len(seen) == leaves_after:
                    return
        assert sorted(seen) == sorted(ids)

    async def create(self) -> None:
        document = self._dice.choice((PDF, self._file, str(self._file), io.BytesIO(PDF)))
        subdocuments = [Subdocument("invoice")]
        run = await self._client.splits.create(document=document, subdocuments=subdocuments, background=True)
        self._created.append(run)

    async def delete(self) -> None:
        if self._created:
            await self._client.splits.delete(self._created.popleft())

    async def running(self) -> None:
        document = self._dice.choice((PDF, self._file))
        async with self._client.partitions.running(document=document, key="account", instructions="each") as run:
            variant = self._dice.randrange(5)
            if variant == 0:
                await run.result(timeout=0.3)
            elif variant == 1:
                await run.get(include_output=False)
            elif variant == 2:
                await run.cancel()
            elif variant == 3:
                raise LeftError
            else:
                async with asyncio.timeout(0.2):
                    await run.result()

    async def attach(self) -> None:
        for run_id in self.supply.take("classifications", 1):
            self.owned.add(run_id)
            async with self._client.classifications.attach(run_id) as run:
                done = await run.result(timeout=1)
                assert done.id == run_id

    async def stream(self) -> None:
        schema = {"type": "object", "properties": {"total": {"type": "number"}}}
        leaves_early = self._dice.random() < 0.5
        async with (
            asyncio.timeout(MAX_SECONDS),
            self._client.extractions.stream(document=PDF, json_schema=schema) as states,
        ):
            async for _ in states:
                if leaves_early:
                    break

    async def cancel_many(self) -> None:
        ids = self.supply.take("splits", self._dice.randrange(1, 40))
        concurrency, variant = self._dice.choice((1, 4, 16)), self._dice.randrange(4)
        if variant == 0:
            report = await self._client.splits.cancel_many(ids, concurrency=concurrency, outage_timeout=MAX_SECONDS)
            self._record(report.counts, len(ids))
        elif variant == 1:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                journal = Path(folder, "cancel.jsonl")
                report = await self._client.splits.cancel_many(
                    ids, concurrency=concurrency, outage_timeout=MAX_SECONDS, journal=journal
                )
                # The first line is the header.
                assert lines_of(journal) == 1 + len(ids)
            self._record(report.counts, len(ids))
        elif variant == 2:
            left = ids[: len(ids) // 2]
            async with self._client.splits.cancel_many(_slowly(ids), outage_timeout=MAX_SECONDS) as outcomes:
                async for outcome in outcomes:
                    self.dispositions[outcome.disposition] += 1
                    left.pop() if left else None
                    if not left:
                        break
        else:
            seen: list[str] = []
            async with self._client.splits.cancel_many(
                ids, concurrency=concurrency, outage_timeout=MAX_SECONDS, order="input"
            ) as outcomes:
                async for outcome in outcomes:
                    self.dispositions[outcome.disposition] += 1
                    seen.append(outcome.run_id)
            assert seen == ids

    async def cancel_many_kinds(self) -> None:
        mixed = [("splits", run_id) for run_id in self.supply.take("splits", 10)]
        mixed += [("classifications", run_id) for run_id in self.supply.take("classifications", 5)]
        report = await self._client.cancel_many(mixed, wait=True, outage_timeout=MAX_SECONDS)
        self._record(report.counts, len(mixed))

    async def cancel_matching(self) -> None:
        # It cancels all of them, so the supply has to be refilled.
        self.supply.take("parses", 20)
        report = await self._client.parses.cancel_matching(outage_timeout=MAX_SECONDS)
        self._record(report.counts, report.counts.total())

    def _record(self, counts: Counter[Any], expected: int) -> None:
        assert counts.total() == expected
        self.dispositions.update({str(disposition): count for disposition, count in counts.items()})


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n")


async def _slowly(ids: list[str]) -> AsyncIterator[str]:
    for run_id in ids:
        await asyncio.sleep(0.005)
        yield run_id
