"""Partitions: the pages of a document grouped by a key."""

from typing import Any

import attrs

from retab_async.documents import Document, DocumentField
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.resources.base import DeletableRuns, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import bounded_int, non_blank_str, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunk(SparseRepr):
    """The pages, counted from 1, that share one value of the key."""

    key: str
    pages: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunkLikelihood(SparseRepr):
    """How sure the votes were of one chunk: of its key, and of each of its pages."""

    key: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionConsensus(SparseRepr):
    """How the votes went: the single votes' outputs, and how sure they were of each chunk."""

    choices: tuple[tuple[PartitionChunk, ...], ...] = ()
    likelihoods: tuple[PartitionChunkLikelihood, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class Partition(Primitive):
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


class Partitions(ListedRuns[Partition], DeletableRuns[Partition]):
    """The partition runs of an account: `/v1/partitions`."""

    path = "/v1/partitions"
    run_type = Partition

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        key: str,
        instructions: str,
        model: str = "retab-small",
        n_consensus: int = 1,
        allow_overlap: bool = True,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> Partition:
        """Start a partition and return it: over, or with `background=True` at once, for `wait` to follow.

        `key`: what the pages are grouped by. `allow_overlap`: whether a page may be in several chunks. `n_consensus`: 1
        to 8. The rest, and what is raised, is told at `RunResource`.

        `POST /v1/partitions`
        """
        fields = _fields(
            document,
            key,
            instructions,
            model,
            n_consensus,
            overlap=allow_overlap,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        key: str,
        instructions: str,
        model: str = "retab-small",
        n_consensus: int = 1,
        allow_overlap: bool = True,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Partition]:
        """Tie a background partition to a block; see `RunResource`.

        `POST /v1/partitions`, `POST /v1/partitions/{partition_id}/cancel`
        """
        fields = _fields(
            document,
            key,
            instructions,
            model,
            n_consensus,
            overlap=allow_overlap,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key)

    async def create_partition_cancel(self, partition_id: str | Partition) -> Partition:
        """Cancel a partition; the API's published name of `cancel`.

        `POST /v1/partitions/{partition_id}/cancel`
        """
        return await self.cancel(partition_id)


def _fields(  # noqa: PLR0913 - the fields of the request
    document: Document,
    key: str,
    instructions: str,
    model: str,
    n_consensus: int,
    *,
    overlap: bool,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return {
        "document": DocumentField(document),
        "key": non_blank_str("key", key),
        "instructions": non_blank_str("instructions", instructions),
        "model": non_blank_str("model", model),
        "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=8),
        "allow_overlap": strict_bool("allow_overlap", overlap),
        "bust_cache": strict_bool("bust_cache", bust_cache),
        "background": strict_bool("background", background),
    }
