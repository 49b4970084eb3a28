"""Dask: bulk jobs on a cluster, a partition a task, each with its own journal; needs the extra `dask`."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs

from retab_async.bulk import CancelReport, EndReason
from retab_async.client import AsyncRetab
from retab_async.errors import ClientStateError, ConfigurationError
from retab_async.process import ProcessReport, ProcessResult
from retab_async.resources import RESOURCES

try:
    from distributed import Client, Worker, WorkerPlugin, get_worker
except ImportError as _error:
    _MESSAGE = "distributed is not installed: pip install 'retab_async[dask]'"
    raise ImportError(_MESSAGE) from _error

_SECRETS = frozenset({"api_key", "bearer_token"})
_NAME = "retab_async"
# Times that a partition whose worker was lost, or could not open its journal yet, is started again.
_RETRIES = 3
# The first of these that a partition ended with is the reason of the whole job.
_PRECEDENCE = (None, EndReason.REFUSED, EndReason.OUTAGE, EndReason.STOPPED, EndReason.COMPLETED)
# Keeps the tasks that stop a job whose caller was cancelled.
_stopping: set["asyncio.Task[Any]"] = set()


@attrs.frozen(kw_only=True)
class _Partition:
    """A part of a job, as it is sent to a worker.

    Attributes:
        job_id: The job.
        method: `process_many` or `cancel_many`, after the kind: `splits.cancel_many`.
        items: The documents, or the runs.
        arguments: The keyword arguments of the method.
        on_result: Called with each result.
    """

    job_id: str
    method: str
    items: Sequence[Any] = attrs.field(repr=False)
    arguments: Mapping[str, Any] = attrs.field(repr=False)
    on_result: Callable[[Any], object] | None


class RetabPlugin(WorkerPlugin):
    """Worker plugin with one client for each worker: `await dask_client.register_plugin(RetabPlugin())`.

    The client is made when the worker starts, and closed with it, which sends the pending cancels. The key comes from
    the environment of the worker (`RETAB_API_KEY`), so that it never enters the graph.

    Args:
        **settings: Arguments of `AsyncRetab` that can be pickled, such as `base_url` and `timeout`.

    Attributes:
        client: The client of this worker, also for tasks of your own: `get_worker().plugins["retab_async"].client`.

    Raises:
        ConfigurationError: The settings contain a key.
    """

    name = _NAME
    client: AsyncRetab

    def __init__(self, **settings: Any) -> None:
        if given := _SECRETS & settings.keys():
            msg = f"{min(given)} must not enter the graph: set RETAB_API_KEY in the environment of the workers"
            raise ConfigurationError(msg)
        self._settings = settings
        self._running: defaultdict[str, list[_Running]] = defaultdict(list)
        self._stopped: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_plugin, (self._settings,)

    async def setup(self, worker: Worker) -> None:
        """Make the client in the event loop of the worker."""
        del worker
        self.client = AsyncRetab(**self._settings)

    async def teardown(self, worker: Worker) -> None:
        """End the jobs that run, cancel their runs and close the client."""
        del worker
        for job_id in list(self._running):
            await self.stop(job_id)
        await self.client.aclose()

    async def run(self, partition: _Partition) -> Any:
        """Run a partition to its end, or until its job is stopped, and return its report."""
        job = attrgetter(partition.method)(self.client)(partition.items, **partition.arguments)
        running = _Running()
        self._running[partition.job_id].append(running)
        try:
            async with job:
                if partition.job_id not in self._stopped:
                    await running.wait_for(_consume(job, partition.on_result))
        finally:
            self._running[partition.job_id].remove(running)
            running.has_ended.set()
        return job.report

    async def stop(self, job_id: str) -> None:
        """End the partitions of a job on this worker, and wait until their runs are cancelled."""
        self._stopped.add(job_id)
        for running in list(self._running[job_id]):
            running.stop()
            await running.has_ended.wait()


class _Running:
    """A partition that runs; `has_ended` is set when its runs are finished or cancelled."""

    def __init__(self) -> None:
        self.has_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the end of the work, or for `stop`, which raises nothing: a block left normally confirms cancels."""
        self._task = task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if not task.cancelled():
            task.result()

    def stop(self) -> None:
        """Cancel the work."""
        if self._task is not None:
            self._task.cancel()


def _make_plugin(settings: dict[str, Any]) -> RetabPlugin:
    return RetabPlugin(**settings)


async def _consume(job: Any, on_result: Callable[[Any], object] | None) -> None:
    async for result in job:
        if on_result is not None:
            on_result(result)


async def _run_partition(partition: _Partition) -> Any:
    return await _plugin_of(get_worker()).run(partition)


async def _stop_job(job_id: str, dask_worker: Worker) -> None:
    await _plugin_of(dask_worker).stop(job_id)


def _plugin_of(worker: Worker) -> RetabPlugin:
    plugin = worker.plugins.get(_NAME)
    if not isinstance(plugin, RetabPlugin):
        msg = "this worker has no client: await dask_client.register_plugin(RetabPlugin()) first"
        raise ClientStateError(msg)
    return plugin


async def process_many(  # noqa: PLR0913 - those of a job, and of its cluster
    dask_client: Client,
    kind: str,
    items: Iterable[Any],
    /,
    *,
    partitions: int,
    journals: str | os.PathLike[str] | None = None,
    on_result: Callable[[ProcessResult[Any]], object] | None = None,
    **arguments: Any,
) -> ProcessReport:
    """Process documents on a cluster, see `process_many` of the kind, and return the merged report.

    If a worker dies, its partition starts again on another one and resumes from its journal. Cancelling this call
    cancels the runs in flight on all workers.

    Args:
        dask_client: An asynchronous Dask client, whose workers have a `RetabPlugin`.
        kind: Kind of the runs, such as `extractions`.
        items: The documents, which are sent to the workers: paths on a file system that all share, URLs, or contents.
        partitions: Number of tasks; for a job to be resumed, as before.
        journals: Folder, shared by all workers, with a journal for each partition; None for none.
        on_result: Called on the worker with each result, such as to store it; a result whose call did not return
            before the worker died is passed again.
        **arguments: Those of the method `process_many`.

    Raises:
        ConfigurationError: The kind has no documents, or the number of partitions is invalid.
        ClientStateError: A worker has no `RetabPlugin`.
    """
    if not hasattr(RESOURCES.get(kind), "process_many"):
        msg = f"{kind!r} is not a kind with documents"
        raise ConfigurationError(msg)
    job = _ClusterJob(dask_client, f"{kind}.process_many", arguments, on_result)
    return _merge_processed(await job.run(list(items), partitions, journals))


async def cancel_many(  # noqa: PLR0913 - those of a job, and of its cluster
    dask_client: Client,
    kind: str | None,
    runs: Iterable[Any],
    /,
    *,
    partitions: int,
    journals: str | os.PathLike[str] | None = None,
    on_result: Callable[[Any], object] | None = None,
    **arguments: Any,
) -> CancelReport:
    """Cancel runs on a cluster, see `cancel_many` of the kind, or of the client for None, and return the merged report.

    Args:
        dask_client: An asynchronous Dask client, whose workers have a `RetabPlugin`.
        kind: Kind of the runs; None for pairs of a kind and an id.
        runs: The ids or runs.
        partitions: Number of tasks; for a job to be resumed, as before.
        journals: Folder, shared by all workers, with a journal for each partition; None for none.
        on_result: Called on the worker with each outcome.
        **arguments: Those of the method `cancel_many`.

    Raises:
        ConfigurationError: There is no such kind, or the number of partitions is invalid.
        ClientStateError: A worker has no `RetabPlugin`.
    """
    if kind is not None and kind not in RESOURCES:
        msg = f"{kind!r} is not a kind: the kinds are {', '.join(RESOURCES)}"
        raise ConfigurationError(msg)
    method = "cancel_many" if kind is None else f"{kind}.cancel_many"
    job = _ClusterJob(dask_client, method, arguments, on_result)
    return _merge_cancelled(await job.run(list(runs), partitions, journals))


@attrs.frozen
class _ClusterJob:
    """A job in partitions, each of which is a task of the cluster."""

    client: Client
    method: str
    arguments: Mapping[str, Any]
    on_result: Callable[[Any], object] | None
    job_id: str = attrs.field(factory=lambda: uuid4().hex)

    async def run(self, items: list[Any], partitions: int, journals: str | os.PathLike[str] | None) -> list[Any]:
        if type(partitions) is not int or partitions < 1:
            msg = f"partitions must be an integer above zero, not {partitions!r:.200}"
            raise ConfigurationError(msg)
        if journals is not None:
            await asyncio.to_thread(os.makedirs, journals, exist_ok=True)
        async with self._stopped_if_left_early():
            futures = [
                self.client.submit(
                    _run_partition, self._partition(items, number, partitions, journals), pure=False, retries=_RETRIES
                )
                for number in range(partitions)
            ]
            reports: list[Any] = await self.client.gather(futures)  # type: ignore[no-untyped-call]
        return reports

    def _partition(
        self, items: list[Any], number: int, count: int, journals: str | os.PathLike[str] | None
    ) -> _Partition:
        # Every n-th item: the partitions of sorted documents are equally large.
        journal = {} if journals is None else {"journal": str(Path(journals) / f"{number}.jsonl")}
        return _Partition(
            job_id=self.job_id,
            method=self.method,
            items=items[number::count],
            arguments={**self.arguments, **journal},
            on_result=self.on_result,
        )

    @asynccontextmanager
    async def _stopped_if_left_early(self) -> AsyncIterator[None]:
        is_finished = False
        try:
            yield
            is_finished = True
        finally:
            if not is_finished:
                # Cancelling a future does not stop a coroutine that runs. A task, which ends also if the caller's is
                # cancelled again.
                stopping = asyncio.get_running_loop().create_task(self._stop())
                _stopping.add(stopping)
                stopping.add_done_callback(_stopping.discard)
                await asyncio.shield(stopping)

    async def _stop(self) -> None:
        await self.client.run(_stop_job, self.job_id, on_error="ignore")


def _merge_processed(reports: list[ProcessReport]) -> ProcessReport:
    return ProcessReport(
        counts=_sum(report.counts for report in reports),
        settled=_sum(report.settled for report in reports),
        failures=tuple(failure for report in reports for failure in report.failures),
        started=sum(report.started for report in reports),
        active=sum(report.active for report in reports),
        credits=sum(report.credits for report in reports),
        elapsed=max(report.elapsed for report in reports),
        end_reason=_end_reason(reports),
        error=next((report.error for report in reports if report.error), None),
        unconfirmed=tuple(cancel for report in reports for cancel in report.unconfirmed),
    )


def _merge_cancelled(reports: list[CancelReport]) -> CancelReport:
    return CancelReport(
        counts=_sum(report.counts for report in reports),
        settled=_sum(report.settled for report in reports),
        failures=tuple(failure for report in reports for failure in report.failures),
        elapsed=max(report.elapsed for report in reports),
        end_reason=_end_reason(reports),
        error=next((report.error for report in reports if report.error), None),
    )


def _sum(counters: Iterable[Counter[Any]]) -> Counter[Any]:
    return sum(counters, Counter())


def _end_reason(reports: Sequence[ProcessReport | CancelReport]) -> EndReason | None:
    return min((report.end_reason for report in reports), key=_PRECEDENCE.index)
