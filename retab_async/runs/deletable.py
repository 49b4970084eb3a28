"""`delete`, for the kinds that have it."""

from typing import TypeVar

from retab_async.models import Run
from retab_async.runs.resource import RunResource

RunT = TypeVar("RunT", bound=Run)


class DeletableRuns(RunResource[RunT]):
    """The runs of a kind that can be deleted."""

    async def delete(self, run_id: str | RunT) -> None:
        """Delete a run; one that is still going on is to be cancelled first.

        A repeat whose earlier attempt may have deleted the run takes its absence for success. Raises
        `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s, `APIConnectionError`.

        `DELETE {path}/{id}`
        """
        await self._collection.delete(self._id_of(run_id))
