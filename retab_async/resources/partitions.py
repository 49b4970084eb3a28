"""Partitions: the pages of a document grouped by a key."""

import attrs

from retab_async.models import FileRef, RetabUsage, Run, Told
from retab_async.runs import RunResource


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunk(Told):
    """The pages, counted from 1, that share one value of the key."""

    key: str
    pages: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunkLikelihood(Told):
    """How sure the votes were of one chunk: of its key, and of each of its pages."""

    key: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionConsensus(Told):
    """How the votes went: the single votes' outputs, and how sure they were of each chunk."""

    choices: tuple[tuple[PartitionChunk, ...], ...] = ()
    likelihoods: tuple[PartitionChunkLikelihood, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class Partition(Run):
    """A partition run; an answer of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    key: str | None = None
    instructions: str | None = None
    n_consensus: int = 1
    allow_overlap: bool = True
    output: tuple[PartitionChunk, ...] = ()
    consensus: PartitionConsensus | None = None
    usage: RetabUsage | None = None


class Partitions(RunResource[Partition]):
    """The partition runs of an account: `/v1/partitions`."""

    path = "/v1/partitions"
    run_type = Partition

    async def create_partition_cancel(self, partition_id: str | Partition) -> Partition:
        """Cancel a partition; the API's published name of `cancel`.

        `POST /v1/partitions/{partition_id}/cancel`
        """
        return await self.cancel(partition_id)
