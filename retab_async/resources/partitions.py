"""Partitions: group the pages of a document by a key."""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import attrs

from retab_async import process
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.process.arguments import ProcessingOptions
from retab_async.resources.base import DeletableRuns, DocumentItems, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import bounded_int, non_blank_str, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunk(SparseRepr):
    """The pages, numbered from 1, that share one value of the key."""

    key: str
    pages: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionChunkLikelihood(SparseRepr):
    """Likelihood of one chunk, 0 to 1: of its key, and of each of its pages."""

    key: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class PartitionConsensus(SparseRepr):
    """Votes of a partition with `n_consensus` above 1.

    Attributes:
        choices: The output of each vote.
        likelihoods: One for each item of `output`, in the same order.
    """

    choices: tuple[tuple[PartitionChunk, ...], ...] = ()
    likelihoods: tuple[PartitionChunkLikelihood, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class Partition(Primitive):
    """A partition run; a response of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    key: str | None = None
    instructions: str | None = None
    n_consensus: int = 1
    allow_overlap: bool = True
    output: tuple[PartitionChunk, ...] = ()
    consensus: PartitionConsensus | None = None
    usage: RetabUsage | None = None


class PartitionProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for partitions: those of `create`, and the options of the job."""

    key: str
    instructions: str
    model: str
    n_consensus: int
    allow_overlap: bool
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Partitions(ListedRuns[Partition], DeletableRuns[Partition]):
    """The partition runs of an account: `/v1/partitions`."""

    path = "/v1/partitions"
    run_type = Partition
    spec: KindSpec = KindSpec(id_prefix="prtn", id_name="partition_id")

    async def create(
        self,
        *,
        document: Document,
        filename: str | None = None,
        key: str,
        instructions: str,
        model: str = "retab-small",
        n_consensus: int = 1,
        allow_overlap: bool = True,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Partition:
        """Create a partition and return it.

        `POST /v1/partitions`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            key: What to group the pages by.
            instructions: How to group them.
            model: Name of the model, `retab-small` by default.
            n_consensus: Number of votes, 1 to 8; 1 by default.
            allow_overlap: Whether a page may be in several chunks; True by default.
            bust_cache: True bypasses the service's cache.
            background: True returns at once, for `wait` to follow; False returns the finished run.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.
            on_upload: Called with an `UploadProgress` whenever a part of the request, or of a large document that is
                uploaded before it, was sent.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        fields = _fields(
            DocumentField(document, filename),
            key,
            instructions,
            model,
            n_consensus,
            allow_overlap=allow_overlap,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        document: Document,
        filename: str | None = None,
        key: str,
        instructions: str,
        model: str = "retab-small",
        n_consensus: int = 1,
        allow_overlap: bool = True,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Partition]:
        """Tie a background partition to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/partitions`, `POST /v1/partitions/{partition_id}/cancel`
        """
        fields = _fields(
            DocumentField(document, filename),
            key,
            instructions,
            model,
            n_consensus,
            allow_overlap=allow_overlap,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def process_many(
        self, items: DocumentItems, /, **arguments: Unpack[PartitionProcessing]
    ) -> "process.ProcessJob[Partition]":
        """Create a partition of each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/partitions`, `GET /v1/partitions`

        Args:
            items: Documents, pairs of a filename and a document, or mappings of the arguments that differ; from any
                iterable, also asynchronous or endless.
            **arguments: Those of `create` that all runs share, and the options of `ProcessOptions`.

        Raises:
            InvalidRequestError: `items` is no iterable of documents.
            ConfigurationError: An option is invalid.
            JournalError: From the job: results can no longer be recorded.
            ClientStateError: From the job: the client is closed.
        """
        return self._process_many(items, self.running, arguments)

    async def create_partition_cancel(self, partition_id: str | Partition) -> Partition:
        """Cancel a partition; the official name of `cancel`.

        `POST /v1/partitions/{partition_id}/cancel`
        """
        return await self.cancel(partition_id)


def _fields(
    document: DocumentField,
    key: str,
    instructions: str,
    model: str,
    n_consensus: int,
    *,
    allow_overlap: bool,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return {
        "document": document,
        "key": non_blank_str("key", key),
        "instructions": non_blank_str("instructions", instructions),
        "model": non_blank_str("model", model),
        "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=8),
        "allow_overlap": strict_bool("allow_overlap", allow_overlap),
        "bust_cache": strict_bool("bust_cache", bust_cache),
        "background": strict_bool("background", background),
    }
