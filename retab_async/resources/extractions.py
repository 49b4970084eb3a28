"""Extractions: what a document says, by a JSON Schema."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

import attrs

from retab_async.documents import Document, DocumentField
from retab_async.listing import RunPager
from retab_async.models import FileRef, Primitive, RetabUsage, RunStatus, SparseRepr
from retab_async.resources.base import DeletableRuns, ListedRuns
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


@attrs.frozen(kw_only=True, repr=False)
class ExtractionConsensus(SparseRepr):
    """How the votes went: the single votes' outputs; `likelihoods` has the shape of an output, with numbers 0 to 1."""

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


class Extractions(ListedRuns[Extraction], DeletableRuns[Extraction]):
    """The extraction runs of an account: `/v1/extractions`."""

    path = "/v1/extractions"
    run_type = Extraction

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        json_schema: Mapping[str, Any],
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
    ) -> Extraction:
        """Start an extraction and return it: over, or with `background=True` at once, for `wait` to follow.

        `json_schema`: what to look for. `n_consensus`: 1 to 16. `metadata`: texts of yours, to find the run by.
        `additional_messages`: of the chat with the model. `deep_extraction`: of a spreadsheet, in the foreground and
        with one vote. The rest, and what is raised, is told at `RunResource`.

        `POST /v1/extractions`
        """
        fields = _fields(
            document, json_schema, model, instructions, n_consensus, metadata, additional_messages, sources, bust_cache
        )
        fields["background"] = strict_bool("background", background)
        if strict_bool("deep_extraction", deep_extraction):
            if background or n_consensus > 1:
                reject("a deep_extraction cannot be in the background, and takes one vote")
            fields["deep_extraction"] = True
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        json_schema: Mapping[str, Any],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        metadata: Mapping[str, str] | None = None,
        additional_messages: Sequence[Mapping[str, Any]] | None = None,
        sources: Literal["located", "cited"] | None = None,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Extraction]:
        """Tie a background extraction to a block; see `RunResource`.

        `POST /v1/extractions`, `POST /v1/extractions/{extraction_id}/cancel`
        """
        fields = _fields(
            document, json_schema, model, instructions, n_consensus, metadata, additional_messages, sources, bust_cache
        )
        return self._running({**fields, "background": True}, idempotency_key)

    def stream(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        json_schema: Mapping[str, Any],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        metadata: Mapping[str, str] | None = None,
        additional_messages: Sequence[Mapping[str, Any]] | None = None,
        sources: Literal["located", "cited"] | None = None,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> RunStream[Extraction]:
        """Watch an extraction come about: `async with client.extractions.stream(...) as states`, `async for` each.

        A state is what is known by then, the last one the whole; its `id` is empty while it is not told. It is sent
        again only as long as there is no answer. The next state may take as long as the client's `timeout`, the first
        one 1800 seconds more. `background` is there to be refused: what is streamed is in the foreground. The rest, and
        what is raised, is told at `RunResource`; what breaks off under way is an `APIConnectionError` in doubt.

        `POST /v1/extractions/stream`
        """
        if strict_bool("background", background):
            reject("background cannot be joined with stream: what is streamed is in the foreground")
        fields = _fields(
            document, json_schema, model, instructions, n_consensus, metadata, additional_messages, sources, bust_cache
        )
        told = {**fields, "background": False, "stream": True}
        return RunStream(self._api, self._creation(told, idempotency_key))

    # The API's published name.
    create_stream = stream

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        filename_contains: str | None = None,
        document_type: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[Extraction]:
        """Return the extractions that match all filters; see `ListedRuns.list`.

        `document_type`: a file's extension, or several, any of which will do. `metadata`: all of these pairs.

        `GET /v1/extractions`
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

    async def create_extraction_cancel(self, extraction_id: str | Extraction) -> Extraction:
        """Cancel an extraction; the API's published name of `cancel`.

        `POST /v1/extractions/{extraction_id}/cancel`
        """
        return await self.cancel(extraction_id)


def _fields(  # noqa: PLR0913, PLR0917 - the fields of the request
    document: Document,
    json_schema: Mapping[str, Any],
    model: str,
    instructions: str | None,
    n_consensus: int,
    metadata: Mapping[str, str] | None,
    additional_messages: Sequence[Mapping[str, Any]] | None,
    sources: str | None,
    bust_cache: bool,  # noqa: FBT001 - from function to function
) -> dict[str, Any]:
    if not json_object("json_schema", json_schema):
        reject("json_schema is empty: there is nothing to look for")
    messages = additional_messages
    return drop_none(
        {
            "document": DocumentField(document),
            "json_schema": json_schema,
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
