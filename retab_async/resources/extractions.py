"""Extractions: data from a document, by a JSON Schema."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, Protocol, Self, TypedDict, TypeVar, Unpack

import attrs

from retab_async import bulk, process
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.listing import RunPager
from retab_async.models import FileRef, Primitive, RetabUsage, RunStatus, SparseRepr
from retab_async.process.arguments import ProcessingOptions
from retab_async.resources.base import DeletableRuns, DocumentItems, ListedRuns
from retab_async.scope import RunScope
from retab_async.streaming import RunStream
from retab_async.validation import (
    bounded_int,
    drop_none,
    json_object,
    non_blank_str,
    non_empty_list,
    one_of,
    optional_str,
    reject,
    str_dict,
    strict_bool,
)
from retab_async.validation import (
    json_schema as checked_schema,
)


class PydanticModel(Protocol):
    """A pydantic model class; this package does not import pydantic."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the class."""

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Return an instance, from JSON values."""


ModelT = TypeVar("ModelT", bound=PydanticModel)


@attrs.frozen(kw_only=True, repr=False)
class ExtractionConsensus(SparseRepr):
    """Votes of an extraction with `n_consensus` above 1.

    Attributes:
        choices: The output of each vote.
        likelihoods: The shape of an output, with likelihoods of 0 to 1 as values.
    """

    choices: tuple[Mapping[str, Any], ...] = attrs.field(default=(), hash=False)
    likelihoods: Mapping[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class Extraction(Primitive):
    """An extraction run; its `output` is empty until it is completed."""

    file: FileRef | None = None
    model: str | None = None
    json_schema: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    n_consensus: int = 1
    instructions: str | None = None
    output: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    consensus: ExtractionConsensus | None = None
    metadata: Mapping[str, str] | None = attrs.field(default=None, hash=False)
    usage: RetabUsage | None = None

    def parsed(self, model: type[ModelT]) -> ModelT:
        """Return the output validated by a pydantic model class, whose `ValidationError` it may raise."""
        return model.model_validate(self.output)


class ExtractionProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for extractions: those of `create`, and the options of the job."""

    json_schema: Mapping[str, Any] | type[PydanticModel]
    model: str
    instructions: str | None
    n_consensus: int
    metadata: Mapping[str, str] | None
    additional_messages: Sequence[Mapping[str, Any]] | None
    sources: Literal["located", "cited"] | None
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Extractions(ListedRuns[Extraction], DeletableRuns[Extraction]):
    """The extraction runs of an account: `/v1/extractions`."""

    path = "/v1/extractions"
    run_type = Extraction
    spec: KindSpec = KindSpec(id_prefix="extr", id_name="extraction_id")

    async def create(
        self,
        *,
        document: Document,
        filename: str | None = None,
        json_schema: Mapping[str, Any] | type[PydanticModel],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        metadata: Mapping[str, str] | None = None,
        additional_messages: Sequence[Mapping[str, Any]] | None = None,
        sources: Literal["located", "cited"] | None = None,
        deep_extraction: bool = False,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Extraction:
        """Create an extraction and return it.

        `POST /v1/extractions`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            json_schema: JSON Schema of the data to extract, or a pydantic model class.
            model: Name of the model, `retab-small` by default.
            instructions: Extra instructions for the model.
            n_consensus: Number of votes, 1 to 16; 1 by default.
            metadata: Your own strings, by which `list` finds the run.
            additional_messages: Further messages of the chat with the model.
            sources: `located` or `cited` adds the place in the document to each value; None by default.
            deep_extraction: True for a spreadsheet; foreground and one vote only.
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
            json_schema,
            model,
            instructions,
            n_consensus,
            metadata,
            additional_messages,
            sources,
            bust_cache=bust_cache,
        )
        fields["background"] = strict_bool("background", background)
        if strict_bool("deep_extraction", deep_extraction):
            if background or n_consensus > 1:
                reject("deep_extraction cannot be combined with background=True or n_consensus above 1")
            fields["deep_extraction"] = True
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        document: Document,
        filename: str | None = None,
        json_schema: Mapping[str, Any] | type[PydanticModel],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        metadata: Mapping[str, str] | None = None,
        additional_messages: Sequence[Mapping[str, Any]] | None = None,
        sources: Literal["located", "cited"] | None = None,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Extraction]:
        """Tie a background extraction to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/extractions`, `POST /v1/extractions/{extraction_id}/cancel`
        """
        fields = _fields(
            DocumentField(document, filename),
            json_schema,
            model,
            instructions,
            n_consensus,
            metadata,
            additional_messages,
            sources,
            bust_cache=bust_cache,
        )
        return self._running({**fields, "background": True}, idempotency_key, extra_body, on_upload)

    def process_many(
        self, items: DocumentItems, /, **arguments: Unpack[ExtractionProcessing]
    ) -> "process.ProcessJob[Extraction]":
        """Create an extraction of each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/extractions`, `GET /v1/extractions`

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

    def stream(
        self,
        *,
        document: Document,
        filename: str | None = None,
        json_schema: Mapping[str, Any] | type[PydanticModel],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        metadata: Mapping[str, str] | None = None,
        additional_messages: Sequence[Mapping[str, Any]] | None = None,
        sources: Literal["located", "cited"] | None = None,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunStream[Extraction]:
        """Stream an extraction: `async with client.extractions.stream(...) as states`, `async for` each state.

        A state is the run as known so far, the last one the complete run; its `id` is empty until the API names it.
        The create is retried until a response begins. Each state may take up to the client's `timeout`, the first one
        1800 seconds more. A stream that breaks off raises an `APIConnectionError` that is `in_doubt`.

        `POST /v1/extractions/stream`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            json_schema: JSON Schema of the data to extract, or a pydantic model class.
            model: Name of the model, `retab-small` by default.
            instructions: Extra instructions for the model.
            n_consensus: Number of votes, 1 to 16; 1 by default.
            metadata: Your own strings, by which `list` finds the run.
            additional_messages: Further messages of the chat with the model.
            sources: `located` or `cited` adds the place in the document to each value; None by default.
            bust_cache: True bypasses the service's cache.
            background: Must be False: a stream is in the foreground.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.
            on_upload: Called with an `UploadProgress` whenever a part of the request, or of a large document that is
                uploaded before it, was sent.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        if strict_bool("background", background):
            reject("background=True cannot be combined with stream: a stream is in the foreground")
        fields = _fields(
            DocumentField(document, filename),
            json_schema,
            model,
            instructions,
            n_consensus,
            metadata,
            additional_messages,
            sources,
            bust_cache=bust_cache,
        )
        fields |= {"background": False, "stream": True}
        return RunStream(self._api, self._creation(fields, idempotency_key, extra_body, on_upload))

    # The official name.
    create_stream = stream

    def list(
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        filename_contains: str | None = None,
        document_type: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[Extraction]:
        """Return the extractions that match all filters; iterate with `async for`.

        See `ListedRuns.list`.

        `GET /v1/extractions`

        Args:
            status: Only runs with this status.
            filename: Only runs whose document name starts with this, ignoring case.
            filename_contains: Only runs whose document name contains this.
            document_type: Only runs with this file extension, or one of several.
            metadata: Only runs with all of these pairs.
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            order: `desc` (newest first) or `asc`.
            limit: Runs in a page, 1 to 100; not a limit on the total.
            before: Id to continue from, backward.
            after: Id to continue from, forward.
        """
        return self._list(
            status=status,
            filename=filename,
            filename_contains=filename_contains,
            document_type=document_type,
            metadata=str_dict("metadata", metadata),
            from_date=from_date,
            to_date=to_date,
            order=order,
            limit=limit,
            before=before,
            after=after,
        )

    def cancel_matching(
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        filename_contains: str | None = None,
        document_type: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[Extraction]":
        """Cancel all extractions that match; by default those that are active.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/extractions`, `POST /v1/extractions/{id}/cancel`
        """
        return self._cancel_matching(
            options,
            status=status,
            filename=filename,
            filename_contains=filename_contains,
            document_type=document_type,
            metadata=str_dict("metadata", metadata),
            from_date=from_date,
            to_date=to_date,
        )

    async def create_extraction_cancel(self, extraction_id: str | Extraction) -> Extraction:
        """Cancel an extraction; the official name of `cancel`.

        `POST /v1/extractions/{extraction_id}/cancel`
        """
        return await self.cancel(extraction_id)


def _fields(
    document: DocumentField,
    json_schema: Mapping[str, Any] | type[PydanticModel],
    model: str,
    instructions: str | None,
    n_consensus: int,
    metadata: Mapping[str, str] | None,
    additional_messages: Sequence[Mapping[str, Any]] | None,
    sources: str | None,
    *,
    bust_cache: bool,
) -> dict[str, Any]:
    messages = additional_messages
    return drop_none(
        {
            "document": document,
            "json_schema": checked_schema("json_schema", json_schema),
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=16),
            "metadata": str_dict("metadata", metadata),
            "additional_messages": None
            if messages is None
            else [
                json_object("a message", each) for each in non_empty_list("additional_messages", messages, "message")
            ],
            "sources": None if sources is None else {"mode": one_of("sources", sources, ("located", "cited"))},
            "bust_cache": strict_bool("bust_cache", bust_cache),
        }
    )
