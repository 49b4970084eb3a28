"""Following accepted runs to their end, outside the workers of a bulk job."""

from typing import Generic, TypeVar

from retab_async.bulk.id_source import CancelItem
from retab_async.bulk.reporter import OutcomeReporter
from retab_async.bulk.results import Disposition, disposition_of_run
from retab_async.bulk.sender import CancelTarget
from retab_async.bulk.worker_pool import WorkerPool
from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)

# Runs that one job follows at once; further ids are not taken until one of them has its outcome.
MAX_FOLLOWED = 5_000


class RunFollower(Generic[RunT]):
    """Follows runs whose cancel was accepted until they are terminal; the waits share their polls.

    Args:
        targets: How runs of each kind are waited for.
        reporter: Records the outcomes.
        pool: Runs the waits.
        timeout: Seconds for which one run is followed.
    """

    def __init__(
        self,
        targets: dict[str, CancelTarget[RunT]],
        reporter: OutcomeReporter[RunT],
        pool: WorkerPool,
        timeout: float,
    ) -> None:
        self._targets = targets
        self._reporter = reporter
        self._pool = pool
        self._timeout = timeout

    def start(self, item: CancelItem, run: RunT) -> None:
        """Follow a run in the background and report its outcome."""
        self._pool.spawn(self._wait(item, run))

    async def _wait(self, item: CancelItem, run: RunT) -> None:
        error = None
        try:
            run = await self._targets[item.kind].waiter.wait(item.run_id, timeout=self._timeout)
        except Exception as failure:  # noqa: BLE001 - it is the outcome of this id alone
            error = failure
        # A run that could not be followed has had its cancel accepted all the same.
        disposition = Disposition.ACCEPTED if error is not None else disposition_of_run(run)
        self._reporter.report(item, disposition, run, error)
