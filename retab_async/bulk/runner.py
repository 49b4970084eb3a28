"""Job runner: the tasks of a bulk job, from the first worker to the end of the last one."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState
from retab_async.bulk.item_source import ItemSource
from retab_async.bulk.outcome_queue import OutcomeQueue
from retab_async.bulk.results import EndReason
from retab_async.bulk.worker_pool import WorkerPool


class JobRunner:
    """Runs the tasks of a job from `start` until all have ended; `aclose` ends it at once.

    Args:
        source: The items.
        breaker: Lets the sends of the job pass.
        queue: Closed when the job has ended.
        name: The name of the tasks.

    Attributes:
        breaker: The circuit breaker.
        workers: The pool of the workers.
        waits: The pool of waits outside the workers.
    """

    def __init__(
        self, source: ItemSource[Any], breaker: CircuitBreaker, queue: OutcomeQueue[Any] | None, name: str
    ) -> None:
        self._source = source
        self._queue = queue
        self._started_at = time.monotonic()
        self._ended_at: float | None = None
        self._is_closing = False
        self._is_left_early = False
        self._has_ended = asyncio.Event()
        self.breaker: CircuitBreaker = breaker
        self.workers: WorkerPool = WorkerPool(self._on_exit, name)
        self.waits: WorkerPool = WorkerPool(self._on_exit, name)

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
        if self._is_left_early:
            return EndReason.STOPPED
        is_outage = self.breaker.state is CircuitState.GIVEN_UP and reason is not EndReason.STOPPED
        return EndReason.OUTAGE if is_outage else reason

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start the first worker; it starts others as it takes items."""
        self._source.open()
        self.workers.spawn(work())

    async def finish(self) -> None:
        """Wait until all items have their outcome."""
        await self._has_ended.wait()

    async def aclose(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self._is_closing = True
        self._is_left_early = self._ended_at is None
        self._source.close(EndReason.STOPPED)
        self.workers.cancel()
        self.waits.cancel()
        # If the caller is cancelled here, the tasks end by themselves within the next iterations of the event loop.
        await self.workers.join()
        await self.waits.join()
        await self._source.aclose()

    def _on_exit(self, task: "asyncio.Task[None]") -> None:
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is not None and not (task.cancelled() and (self._is_closing or self._source.has_interrupted(task))):
            self._source.fail(failure)
        if not (self.workers.tasks or self.waits.tasks):
            self._ended_at = time.monotonic()
            self._has_ended.set()
            if self._queue is not None:
                self._queue.close()
