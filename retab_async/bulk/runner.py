"""Job runner: the workers of a bulk cancel and the collaborators that they share."""

import asyncio
import time
from collections.abc import Iterable
from typing import Generic, TypeVar

from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState
from retab_async.bulk.follower import RunFollower
from retab_async.bulk.id_source import IdSource
from retab_async.bulk.options import CancelOptions
from retab_async.bulk.reporter import OutcomeQueue, OutcomeReporter
from retab_async.bulk.results import EndReason
from retab_async.bulk.sender import CancelSender, CancelTarget
from retab_async.bulk.worker import Worker
from retab_async.bulk.worker_pool import WorkerPool
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)


class JobRunner(Generic[RunT]):
    """Runs the workers of a job from `start` until all have ended; `aclose` ends it at once.

    Args:
        source: The items.
        targets: How runs of each kind are cancelled and waited for.
        options: Options of the job.
        reporter: Records the outcomes.
        queue: Closed when the job has ended.
    """

    def __init__(
        self,
        source: IdSource,
        targets: Iterable[CancelTarget[RunT]],
        options: CancelOptions,
        reporter: OutcomeReporter[RunT],
        queue: OutcomeQueue[RunT] | None,
    ) -> None:
        by_kind = {target.kind: target for target in targets}
        self._source = source
        self._queue = queue
        self._started_at = time.monotonic()
        self._ended_at: float | None = None
        self._is_closing = False
        self._has_ended = asyncio.Event()
        self._workers = WorkerPool(self._on_exit)
        self._waits = WorkerPool(self._on_exit)
        self.breaker = CircuitBreaker(options.outage_timeout)
        self._worker: Worker[RunT] = Worker(
            source=source,
            sender=CancelSender(by_kind, options, self.breaker),
            breaker=self.breaker,
            reporter=reporter,
            pool=self._workers,
            max_workers=options.concurrency,
            follower=RunFollower(by_kind, reporter, self._waits, options.wait_timeout) if options.wait else None,
            is_dry_run=options.dry_run,
        )

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the end, or until now."""
        return (self._ended_at or time.monotonic()) - self._started_at

    @property
    def end_reason(self) -> EndReason | None:
        """Why the job ended; None while it runs, and if an exception ended it."""
        reason = self._source.end_reason
        if self._ended_at is None or self._source.failure is not None:
            return None
        if self._source.refusal is not None:
            return EndReason.REFUSED
        is_outage = self.breaker.state is CircuitState.GIVEN_UP and reason is not EndReason.STOPPED
        return EndReason.OUTAGE if is_outage else reason

    def start(self) -> None:
        """Start the first worker; it starts others as it takes items."""
        self._source.open()
        self._workers.spawn(self._worker.run())

    async def finish(self) -> None:
        """Wait until all items have their outcome."""
        await self._has_ended.wait()

    async def aclose(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self._is_closing = True
        self._source.close(EndReason.STOPPED)
        self._workers.cancel()
        self._waits.cancel()
        # If the caller is cancelled here, the tasks end by themselves within the next iterations of the event loop.
        await self._workers.join()
        await self._waits.join()
        await self._source.aclose()

    def _on_exit(self, task: "asyncio.Task[None]") -> None:
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is not None and not (task.cancelled() and (self._is_closing or self._source.has_interrupted(task))):
            self._source.fail(failure)
        if not (self._workers.size or self._waits.size):
            self._ended_at = time.monotonic()
            self._has_ended.set()
            if self._queue is not None:
                self._queue.close()
