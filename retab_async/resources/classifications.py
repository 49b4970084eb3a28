"""Classifications: assign a document to one of several categories."""

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
    optional_int,
    optional_str,
    strict_bool,
)


@attrs.frozen(repr=False)
class Category(SparseRepr):
    """A category that a document may have.

    Args:
        name: Name of the category.
        description: What such documents look like.
        handle_key: Output of a workflow's block that the document then takes.
    """

    name: str
    description: str = attrs.field(default="", kw_only=True)
    handle_key: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen(kw_only=True, repr=False)
class ClassificationDecision(SparseRepr):
    """The name of the chosen category, and the reasoning."""

    category: str = ""
    reasoning: str = ""


@attrs.frozen(kw_only=True, repr=False)
class ClassificationConsensus(SparseRepr):
    """Votes of a classification with `n_consensus` above 1.

    Attributes:
        choices: The decision of each vote.
        likelihoods: Likelihood of the decision, 0 to 1.
    """

    choices: tuple[ClassificationDecision, ...] = ()
    likelihoods: float | None = None


@attrs.frozen(kw_only=True, repr=False)
class Classification(Primitive):
    """A classification run; its `output` is None, or empty, until it is completed."""

    file: FileRef | None = None
    model: str | None = None
    categories: tuple[Category, ...] = ()
    n_consensus: int = 1
    instructions: str | None = None
    output: ClassificationDecision | None = None
    consensus: ClassificationConsensus | None = None
    usage: RetabUsage | None = None


class ClassificationProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for classifications: those of `create`, and the options of the job."""

    categories: Sequence[Category | Mapping[str, Any] | PydanticFields]
    model: str
    instructions: str | None
    first_n_pages: int | None
    n_consensus: int
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Classifications(ListedRuns[Classification], DeletableRuns[Classification]):
    """The classification runs of an account: `/v1/classifications`."""

    path = "/v1/classifications"
    run_type = Classification
    spec: KindSpec = KindSpec(id_prefix="clss", id_name="classification_id")

    async def create(
        self,
        *,
        document: Document,
        filename: str | None = None,
        categories: Sequence[Category | Mapping[str, Any] | PydanticFields],
        model: str = "retab-small",
        instructions: str | None = None,
        first_n_pages: int | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Classification:
        """Create a classification and return it.

        `POST /v1/classifications`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            categories: What the document may be, at least one `Category`, or mapping of its fields.
            model: Name of the model, `retab-small` by default.
            instructions: Extra instructions for the model.
            first_n_pages: Number of pages to read; all by default.
            n_consensus: Number of votes, 1 to 16; 1 by default.
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
            categories,
            model,
            instructions,
            first_n_pages,
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
        categories: Sequence[Category | Mapping[str, Any] | PydanticFields],
        model: str = "retab-small",
        instructions: str | None = None,
        first_n_pages: int | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Classification]:
        """Tie a background classification to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/classifications`, `POST /v1/classifications/{classification_id}/cancel`
        """
        fields = _fields(
            DocumentField(document, filename),
            categories,
            model,
            instructions,
            first_n_pages,
            n_consensus,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def process_many(
        self, items: DocumentItems, /, **arguments: Unpack[ClassificationProcessing]
    ) -> "process.ProcessJob[Classification]":
        """Classify each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/classifications`, `GET /v1/classifications`

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

    async def create_classification_cancel(self, classification_id: str | Classification) -> Classification:
        """Cancel a classification; the official name of `cancel`.

        `POST /v1/classifications/{classification_id}/cancel`
        """
        return await self.cancel(classification_id)


def _fields(
    document: DocumentField,
    categories: Sequence[Category | Mapping[str, Any] | PydanticFields],
    model: str,
    instructions: str | None,
    first_n_pages: int | None,
    n_consensus: int,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return drop_none(
        {
            "document": document,
            "categories": [_category(each) for each in non_empty_list("categories", categories, "Category")],
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "first_n_pages": optional_int("first_n_pages", first_n_pages, least=1),
            "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=16),
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )


def _category(value: Category | Mapping[str, Any] | PydanticFields) -> dict[str, Any]:
    category = instance_of(Category, "categories", value)
    return drop_none(
        {
            "name": non_blank_str("a category's name", category.name),
            "description": category.description,
            "handle_key": optional_str("a category's handle_key", category.handle_key),
        }
    )
