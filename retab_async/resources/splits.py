"""Splits: divide a document into named subdocuments."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import attrs

from retab_async import process
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, PydanticFields, UploadCallback
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.process.arguments import ProcessingOptions
from retab_async.resources.base import DeletableRuns, DocumentItems, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import (
    bounded_int,
    drop_none,
    instance_of,
    non_blank_str,
    non_empty_list,
    optional_str,
    strict_bool,
    utf8_str,
)


@attrs.frozen(repr=False)
class Subdocument(SparseRepr):
    """A part to look for in a document.

    Args:
        name: Name of the part.
        description: What the part looks like.
        allow_multiple_instances: Whether the part may occur more than once.
    """

    name: str
    description: str = attrs.field(default="", kw_only=True)
    allow_multiple_instances: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True, repr=False)
class SheetRegion(SparseRepr):
    """A block of cells in one sheet of a spreadsheet."""

    sheet_index: int
    sheet_name: str
    row_start: int
    row_end: int
    col_start: int | None = None
    col_end: int | None = None
    header_rows: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitResult(SparseRepr):
    """One subdocument that was found.

    Attributes:
        name: Name of the `Subdocument`.
        pages: Page numbers, from 1.
        regions: Blocks of cells, in a spreadsheet.
    """

    name: str
    pages: tuple[int, ...] = ()
    regions: tuple[SheetRegion, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitSubdocumentLikelihood(SparseRepr):
    """Likelihood of one result, 0 to 1: of its name, and of each of its pages."""

    name: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitConsensus(SparseRepr):
    """Votes of a split with `n_consensus` above 1.

    Attributes:
        likelihoods: One for each item of `output`, in the same order.
        choices: The output of each vote.
    """

    likelihoods: tuple[SplitSubdocumentLikelihood, ...] = ()
    choices: tuple[tuple[SplitResult, ...], ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class Split(Primitive):
    """A split run; a response of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    subdocuments: tuple[Subdocument, ...] = ()
    n_consensus: int = 1
    instructions: str | None = None
    output: tuple[SplitResult, ...] = ()
    consensus: SplitConsensus | None = None
    usage: RetabUsage | None = None


class SplitProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for splits: those of `create`, and the options of the job."""

    subdocuments: Sequence[Subdocument | Mapping[str, Any] | PydanticFields]
    model: str
    instructions: str | None
    n_consensus: int
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Splits(ListedRuns[Split], DeletableRuns[Split]):
    """The split runs of an account: `/v1/splits`."""

    path = "/v1/splits"
    run_type = Split
    spec: KindSpec = KindSpec(id_prefix="splt", id_name="split_id")

    async def create(
        self,
        *,
        document: Document,
        filename: str | None = None,
        subdocuments: Sequence[Subdocument | Mapping[str, Any] | PydanticFields],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Split:
        """Create a split and return it.

        `POST /v1/splits`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            subdocuments: What to look for, at least one `Subdocument`, or mapping of its fields.
            model: Name of the model, `retab-small` by default.
            instructions: Extra instructions for the model.
            n_consensus: Number of votes, 1 to 8; 1 by default.
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
            subdocuments,
            model,
            instructions,
            n_consensus,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        document: Document,
        filename: str | None = None,
        subdocuments: Sequence[Subdocument | Mapping[str, Any] | PydanticFields],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Split]:
        """Tie a background split to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/splits`, `POST /v1/splits/{split_id}/cancel`
        """
        fields = _fields(
            DocumentField(document, filename),
            subdocuments,
            model,
            instructions,
            n_consensus,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def process_many(
        self, items: DocumentItems, /, **arguments: Unpack[SplitProcessing]
    ) -> "process.ProcessJob[Split]":
        """Create a split of each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/splits`, `GET /v1/splits`

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

    async def create_split_cancel(self, split_id: str | Split) -> Split:
        """Cancel a split; the official name of `cancel`.

        `POST /v1/splits/{split_id}/cancel`
        """
        return await self.cancel(split_id)


def _fields(
    document: DocumentField,
    subdocuments: Sequence[Subdocument | Mapping[str, Any] | PydanticFields],
    model: str,
    instructions: str | None,
    n_consensus: int,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return drop_none(
        {
            "document": document,
            "subdocuments": [
                _subdocument(part) for part in non_empty_list("subdocuments", subdocuments, "Subdocument")
            ],
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=8),
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )


def _subdocument(value: Subdocument | Mapping[str, Any] | PydanticFields) -> dict[str, Any]:
    part = instance_of(Subdocument, "subdocuments", value)
    return {
        "name": non_blank_str("a subdocument's name", part.name),
        "description": utf8_str("a subdocument's description", part.description),
        "allow_multiple_instances": strict_bool("allow_multiple_instances", part.allow_multiple_instances),
    }
