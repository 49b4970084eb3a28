"""Jobs on a Dask cluster: real workers, one of which is killed, and a job that is cancelled."""

import asyncio
import os
import pickle
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

pytest.importorskip("distributed", reason="distributed is not installed")

from distributed import Client, LocalCluster

from retab_async import (
    AsyncRetab,
    CancelReport,
    ClientStateError,
    ConfigurationError,
    EndReason,
    FileRateLimit,
    ProcessReport,
)
from retab_async.emulator import Emulator
from retab_async.integrations import dask
from retab_async.integrations.dask import RetabPlugin, cancel_many, process_many

# Of the library under the integration.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

KEY = "sk_live_never_in_the_graph"
SPLIT: dict[str, Any] = {"subdocuments": [{"name": "a"}]}
WORKER: Any = None


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a local cluster with two workers."""
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    make_cluster: Any = LocalCluster
    make_client: Any = Client
    async with (
        make_cluster(n_workers=2, threads_per_worker=1, dashboard_address=None, asynchronous=True) as local,
        make_client(local, asynchronous=True) as client,
    ):
        yield client


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


def pdfs(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.pdf", b"%%PDF %d" % number) for number in range(count)]


def creates(emulator: Emulator) -> int:
    return sum(request.method == "POST" and request.path == "/v1/splits" for request in emulator.requests)


@pytest.mark.slow
@pytest.mark.subprocess
async def test_documents_and_cancels_are_distributed_and_reports_merged(cluster: Client, tmp_path: Path) -> None:
    async with Emulator(queued=0, running=0) as emulator:
        await cluster.register_plugin(RetabPlugin(base_url=emulator.url))
        ids = emulator.seed("splits", 40, queued=600)

        cancelled = await cancel_many(cluster, "splits", ids, partitions=4, journals=tmp_path / "cancels")
        again = await cancel_many(cluster, None, [("splits", each) for each in ids], partitions=2)
        report = await process_many(
            cluster, "splits", pdfs(30), partitions=3, journals=tmp_path / "documents", on_result=store, **SPLIT
        )
        resumed = await process_many(
            cluster, "splits", pdfs(30), partitions=3, journals=tmp_path / "documents", **SPLIT
        )

        assert (cancelled.counts, cancelled.end_reason) == ({"cancelled": 40}, EndReason.COMPLETED)
        assert again.counts == {"cancelled": 40}
        assert (report.counts, report.started, report.settled) == ({"completed": 30}, 30, Counter())
        assert (resumed.counts, resumed.settled) == ({"completed": 30}, {"completed": 30})
        assert creates(emulator) == 30
        assert emulator.active_runs() == []


def store(_: Any) -> None:
    """Take a result on the worker."""


@pytest.mark.slow
@pytest.mark.subprocess
async def test_killed_worker_loses_and_repeats_nothing(cluster: Client, tmp_path: Path) -> None:
    async with Emulator(queued=0, running=0.2, latency=0.02) as emulator:
        await cluster.register_plugin(RetabPlugin(base_url=emulator.url))
        job = asyncio.ensure_future(
            process_many(cluster, "splits", pdfs(60), partitions=2, journals=tmp_path, concurrency=4, **SPLIT)
        )
        await soon(lambda: creates(emulator) > 20)
        pids = await cluster.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        report = await job

        assert report.counts == {"completed": 60}
        runs = await cluster.submit(count_runs, emulator.url, pure=False)
        assert runs == 60
        assert emulator.active_runs() == []


@pytest.mark.slow
@pytest.mark.subprocess
async def test_cancels_of_a_killed_worker_are_resumed_from_its_journal(cluster: Client, tmp_path: Path) -> None:
    async with Emulator(queued=600, latency=0.03) as emulator:
        await cluster.register_plugin(RetabPlugin(base_url=emulator.url))
        ids = emulator.seed("splits", 400)
        job = asyncio.ensure_future(cancel_many(cluster, "splits", ids, partitions=2, journals=tmp_path, concurrency=4))
        await soon(lambda: len(emulator.requests) > 200)
        pids = await cluster.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        report = await job

        sends = Counter(request.path for request in emulator.requests)
        assert report.counts == {"cancelled": 400}
        assert emulator.active_runs() == []
        # The 4 in flight, and what was answered in the last milliseconds: at 0.03 s an answer, 40 are 0.3 s.
        assert sum(times - 1 for times in sends.values()) <= 40


async def count_runs(url: str) -> int:
    async with AsyncRetab(base_url=url) as client:
        return len([run async for run in client.splits.list()])


@pytest.mark.slow
@pytest.mark.subprocess
async def test_cancelled_job_ends_the_runs_of_all_workers(cluster: Client, tmp_path: Path) -> None:
    async with Emulator(queued=600) as emulator:
        await cluster.register_plugin(RetabPlugin(base_url=emulator.url))
        job = asyncio.ensure_future(
            process_many(cluster, "splits", pdfs(40), partitions=4, journals=tmp_path, concurrency=4, **SPLIT)
        )
        await soon(lambda: len(emulator.active_runs()) >= 8)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

        assert emulator.active_runs() == []
        await asyncio.sleep(0.5)
        assert emulator.active_runs() == []


async def test_closed_cluster_ends_its_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    plugin = RetabPlugin()
    async with Emulator(queued=600) as emulator:
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        await plugin.setup(WORKER)
        arguments = {**SPLIT, "journal": tmp_path / "j.jsonl"}
        partition = dask._Partition(
            job_id="1", method="splits.process_many", items=pdfs(5), arguments=arguments, on_result=store
        )
        running = asyncio.ensure_future(plugin.run(partition))
        await soon(lambda: len(emulator.active_runs()) == 5)
        await plugin.teardown(WORKER)
        report = await running

        assert emulator.active_runs() == []
        assert (report.end_reason, report.unconfirmed) == (EndReason.STOPPED, ())


async def test_partition_of_a_stopped_job_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator(queued=0, running=0) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", KEY)
        plugin = RetabPlugin(base_url=emulator.url)
        await plugin.setup(WORKER)
        await plugin.stop("1")
        partition = dask._Partition(
            job_id="1", method="splits.process_many", items=pdfs(5), arguments=SPLIT, on_result=store
        )
        await plugin.run(partition)
        assert creates(emulator) == 0
        done = await plugin.run(attrs.evolve(partition, job_id="2"))
        await plugin.teardown(WORKER)

    assert done.counts == {"completed": 5}


async def test_failure_of_on_result_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    async with Emulator(queued=0, running=0) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", KEY)
        plugin = RetabPlugin(base_url=emulator.url)
        await plugin.setup(WORKER)
        partition = dask._Partition(
            job_id="1", method="splits.process_many", items=pdfs(2), arguments=SPLIT, on_result=fail
        )
        with pytest.raises(ZeroDivisionError):
            await plugin.run(partition)
        await plugin.teardown(WORKER)


@pytest.mark.parametrize("name", ["api_key", "bearer_token"])
def test_key_never_enters_the_graph(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must not enter the graph"):
        RetabPlugin(**{name: KEY})


def test_plugin_is_pickled_with_a_shared_rate_limit(tmp_path: Path) -> None:
    limit = FileRateLimit(str(tmp_path / "retab.limit"), 300, per=60)

    plugin = pickle.loads(pickle.dumps(RetabPlugin(rate_limit=limit)))  # noqa: S301 - our own

    assert isinstance(plugin._settings["rate_limit"], FileRateLimit)


def test_plugin_is_pickled_with_its_settings_alone() -> None:
    plugin = pickle.loads(pickle.dumps(RetabPlugin(timeout=3)))  # noqa: S301 - our own

    assert plugin._settings == {"timeout": 3}


async def test_wrong_arguments_are_rejected_before_anything_is_sent() -> None:
    client: Any = None
    with pytest.raises(ConfigurationError, match="'schemas' is not a kind with documents"):
        await process_many(client, "schemas", [], partitions=1)
    with pytest.raises(ConfigurationError, match="'split' is not a kind"):
        await cancel_many(client, "split", [], partitions=1)
    with pytest.raises(ConfigurationError, match="partitions must be an integer above zero, not 0"):
        await cancel_many(client, "splits", [], partitions=0)


def test_worker_without_the_plugin_is_an_error() -> None:
    worker: Any = SimpleNamespace(plugins={})

    with pytest.raises(ClientStateError, match="register_plugin"):
        dask._plugin_of(worker)


def test_merged_report_has_the_worst_end_reason() -> None:
    def processed(reason: EndReason | None) -> ProcessReport:
        return ProcessReport(counts=Counter(), failures=(), elapsed=1, end_reason=reason)

    def cancelled(reason: EndReason | None) -> CancelReport:
        return CancelReport(counts=Counter(), failures=(), elapsed=1, end_reason=reason)

    reasons = [EndReason.COMPLETED, EndReason.REFUSED, EndReason.OUTAGE]
    assert dask._merge_processed([processed(each) for each in reasons]).end_reason is EndReason.REFUSED
    assert dask._merge_cancelled([cancelled(each) for each in reasons[::2]]).end_reason is EndReason.OUTAGE


async def test_job_on_workers_in_this_process_is_distributed_and_cancelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    make_cluster: Any = LocalCluster
    make_client: Any = Client
    options = {"n_workers": 1, "processes": False, "dashboard_address": None, "asynchronous": True}
    async with (
        Emulator(queued=600) as emulator,
        make_cluster(**options) as local,
        make_client(local, asynchronous=True) as client,
    ):
        await client.register_plugin(RetabPlugin(base_url=emulator.url))
        cancelled = await cancel_many(client, "splits", emulator.seed("splits", 3), partitions=1)
        job = asyncio.ensure_future(
            process_many(client, "splits", pdfs(4), partitions=2, journals=tmp_path / "journals", **SPLIT)
        )
        await soon(lambda: len(emulator.active_runs()) == 4)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

        assert cancelled.counts == {"cancelled": 3}
        assert emulator.active_runs() == []


def test_partition_that_has_not_started_can_be_stopped() -> None:
    running = dask._Running()
    running.stop()

    assert not running.has_ended.is_set()


def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    spec = spec_from_file_location("retab_async.integrations.dask_again", dask.__file__)
    assert spec is not None
    assert spec.loader is not None

    with pytest.raises(ImportError, match=r"pip install 'retab_async\[dask\]'"):
        spec.loader.exec_module(module_from_spec(spec))
