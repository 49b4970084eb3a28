"""Edits: fill in a form, in a document or a template."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypedDict, Unpack

import attrs

from retab_async import bulk, process
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.listing import RunPager
from retab_async.models import FileRef, MIMEData, Primitive, RetabUsage, RunStatus, SparseRepr
from retab_async.process.arguments import ProcessingOptions
from retab_async.resources.base import DeletableRuns, DocumentItems, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, optional_str, reject, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class EditConfig(SparseRepr):
    """Style of an edit.

    Args:
        color: Color of the text that is filled in, as #RRGGBB.
    """

    color: str = "#000080"


@attrs.frozen(kw_only=True, repr=False)
class BBox(SparseRepr):
    """Bounding box, in fractions of a page; pages are numbered from 1."""

    left: float
    top: float
    width: float
    height: float
    page: int


@attrs.frozen(kw_only=True, repr=False)
class FormField(SparseRepr):
    """A field of a form and its value; `type` is `text` or `checkbox`."""

    key: str
    bbox: BBox | None = None
    description: str = ""
    type: str = ""
    value: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class EditResult(SparseRepr):
    """The fields of the form and the document with them filled in."""

    form_data: tuple[FormField, ...] = ()
    filled_document: MIMEData | None = None


@attrs.frozen(kw_only=True, repr=False)
class Edit(Primitive):
    """An edit run; its `output` is None until it is completed."""

    file: FileRef | None = None
    model: str | None = None
    instructions: str | None = None
    config: EditConfig | None = None
    template_id: str | None = None
    output: EditResult | None = None
    filled_document_ref: FileRef | None = None
    usage: RetabUsage | None = None


class EditProcessing(ProcessingOptions, TypedDict, total=False):
    """Keyword arguments of `process_many` for edits: those of `create`, and the options of the job."""

    instructions: str
    model: str
    config: EditConfig
    bust_cache: bool
    extra_body: Mapping[str, Any] | None


class Edits(ListedRuns[Edit], DeletableRuns[Edit]):
    """The edit runs of an account: `/v1/edits`."""

    path = "/v1/edits"
    run_type = Edit
    spec: KindSpec = KindSpec(id_prefix="edt", id_name="edit_id")

    async def create(
        self,
        *,
        instructions: str,
        document: Document | None = None,
        filename: str | None = None,
        template_id: str | None = None,
        model: str = "retab-small",
        config: EditConfig = EditConfig(),
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> Edit:
        """Create an edit and return it; takes a `document` or a `template_id`.

        `POST /v1/edits`

        Args:
            instructions: What to fill in.
            document: The form, as PDF, DOCX, XLSX or PPTX: a path, bytes, a binary file object, an https:// or
                `data:` URL, a `MIMEData`, or a `FileRef`.
            filename: Filename of the document; its own by default.
            template_id: Id of a template that is the form.
            model: Name of the model, `retab-small` by default.
            config: Style of what is filled in.
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
            instructions,
            _document_field(document, filename),
            template_id,
            model,
            config,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        instructions: str,
        document: Document | None = None,
        filename: str | None = None,
        template_id: str | None = None,
        model: str = "retab-small",
        config: EditConfig = EditConfig(),
        bust_cache: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[Edit]:
        """Tie a background edit to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/edits`, `POST /v1/edits/{edit_id}/cancel`
        """
        fields = _fields(
            instructions,
            _document_field(document, filename),
            template_id,
            model,
            config,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def process_many(self, items: DocumentItems, /, **arguments: Unpack[EditProcessing]) -> "process.ProcessJob[Edit]":
        """Create an edit of each document: `await` for a `ProcessReport`, `async with` for each `ProcessResult`.

        `POST /v1/edits`, `GET /v1/edits`

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
        status: RunStatus | str | None = None,
        filename: str | None = None,
        template_id: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[Edit]:
        """Return the edits that match all filters; iterate with `async for`.

        See `ListedRuns.list`.

        `GET /v1/edits`

        Args:
            status: Only runs with this status.
            filename: Only runs whose document name starts with this, ignoring case.
            template_id: Only edits of this template.
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
            template_id=template_id,
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
        template_id: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[Edit]":
        """Cancel all edits that match; by default those that are active.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/edits`, `POST /v1/edits/{id}/cancel`
        """
        return self._cancel_matching(
            options,
            status=status,
            filename=filename,
            template_id=template_id,
            from_date=from_date,
            to_date=to_date,
        )

    async def create_edit_cancel(self, edit_id: str | Edit) -> Edit:
        """Cancel an edit; the official name of `cancel`.

        `POST /v1/edits/{edit_id}/cancel`
        """
        return await self.cancel(edit_id)


def _fields(
    instructions: str,
    document: DocumentField | None,
    template_id: str | None,
    model: str,
    config: EditConfig,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    if (document is None) == (template_id is None):
        reject("give either a document or a template_id")
    if not isinstance(config, EditConfig):
        reject(f"config must be an EditConfig, not {config!r:.200}")
    return drop_none(
        {
            "instructions": non_blank_str("instructions", instructions),
            "document": document,
            "template_id": optional_str("template_id", template_id),
            "model": non_blank_str("model", model),
            "config": {"color": non_blank_str("the color of config", config.color)},
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )


def _document_field(document: Document | None, filename: str | None) -> DocumentField | None:
    if document is not None:
        return DocumentField(document, filename)
    if filename is not None:
        reject("filename is that of a document: give one")
    return None
