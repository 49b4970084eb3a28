"""Parses: text of a document, page by page."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypedDict, Unpack

import attrs

from retab_async import bulk, process
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.listing import RunPager
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.process.arguments import ProcessingOptions
from retab_async.resources.base import DeletableRuns, DocumentItems
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, one_of, optional_str, strict_bool

_FORMATS = ("markdown", "yaml", "html", "json")


@attrs.frozen(kw_only=True, repr=False)
class ParseOutput(SparseRepr):
    """Text of a document: each of its `pages`, and all of them as one `text`; empty until the run is completed."""

    pages: tuple[str, ...] = ()
    text: str = ""


@attrs.frozen(kw_only=True, repr=False)
class Parse(Primitive):
    """A parse run; a response of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    table_parsing_format: str | None = None
    instructions: str | None = None
    output: ParseOutput = ParseOutput()
    usage: RetabUsage | None = None


class ParseProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for parses: those of `create`, and the options of the job."""

    model: str
    table_parsing_format: Literal["markdown", "yaml", "html", "json"]
    instructions: str | None
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Parses(DeletableRuns[Parse]):
    """The parse runs of an account: `/v1/parses`."""

    path = "/v1/parses"
    run_type = Parse
    spec: KindSpec = KindSpec(id_prefix="prs", id_name="parse_id", active_statuses=(None,))

    async def create(
        self,
        *,
        document: Document,
        filename: str | None = None,
        model: str = "retab-small",
        table_parsing_format: Literal["markdown", "yaml", "html", "json"] = "html",
        instructions: str | None = None,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Parse:
        """Create a parse and return it.

        `POST /v1/parses`

        Args:
            document: A path, bytes, a binary file object, an https:// or `data:` URL, a `MIMEData`, or the
                `FileRef` of another run.
            filename: Filename of the document; its own by default.
            model: Name of the model, `retab-small` by default.
            table_parsing_format: Format of tables: `html` (the default), `markdown`, `yaml` or `json`.
            instructions: Extra instructions for the model.
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
            model,
            table_parsing_format,
            instructions,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        document: Document,
        filename: str | None = None,
        model: str = "retab-small",
        table_parsing_format: Literal["markdown", "yaml", "html", "json"] = "html",
        instructions: str | None = None,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Parse]:
        """Tie a background parse to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/parses`, `POST /v1/parses/{parse_id}/cancel`
        """
        fields = _fields(
            DocumentField(document, filename),
            model,
            table_parsing_format,
            instructions,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def process_many(
        self, items: DocumentItems, /, **arguments: Unpack[ParseProcessing]
    ) -> "process.ProcessJob[Parse]":
        """Create a parse of each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/parses`, `GET /v1/parses`

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

    def list(
        self,
        *,
        filename: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[Parse]:
        """Return the parses that match all filters; iterate with `async for`. The API cannot filter them by status.

        See `ListedRuns.list`.

        `GET /v1/parses`

        Args:
            filename: Only runs whose document name starts with this, ignoring case.
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
            filename=filename,
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
        filename: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[Parse]":
        """Cancel all active parses that match.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/parses`, `POST /v1/parses/{id}/cancel`
        """
        return self._cancel_matching(options, status=None, filename=filename, from_date=from_date, to_date=to_date)


def _fields(
    document: DocumentField,
    model: str,
    table_parsing_format: str,
    instructions: str | None,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return drop_none(
        {
            "document": document,
            "model": non_blank_str("model", model),
            "table_parsing_format": one_of("table_parsing_format", table_parsing_format, _FORMATS),
            "instructions": optional_str("instructions", instructions),
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )
