"""Edits: a form filled in, in a document or in a template."""

from datetime import date
from typing import Any, Literal

import attrs

from retab_async.documents import Document, DocumentField
from retab_async.listing import RunPager
from retab_async.models import FileRef, MIMEData, Primitive, RetabUsage, RunStatus, SparseRepr
from retab_async.resources.base import DeletableRuns, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, optional_str, reject, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class EditConfig(SparseRepr):
    """How what is filled in looks: its `color`, as #RRGGBB."""

    color: str = "#000080"


@attrs.frozen(kw_only=True, repr=False)
class BBox(SparseRepr):
    """Where on a page something is: in fractions of the page, which is counted from 1."""

    left: float
    top: float
    width: float
    height: float
    page: int


@attrs.frozen(kw_only=True, repr=False)
class FormField(SparseRepr):
    """A field of a form, with what was filled in; `type` is `text` or `checkbox`."""

    key: str
    bbox: BBox | None = None
    description: str = ""
    type: str = ""
    value: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class EditResult(SparseRepr):
    """What was filled in, and the document that came of it."""

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


class Edits(ListedRuns[Edit], DeletableRuns[Edit]):
    """The edit runs of an account: `/v1/edits`."""

    path = "/v1/edits"
    run_type = Edit

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        instructions: str,
        document: Document | None = None,
        template_id: str | None = None,
        model: str = "retab-small",
        config: EditConfig = EditConfig(),
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> Edit:
        """Start an edit and return it: over, or with `background=True` at once, for `wait` to follow.

        `instructions`: what is to be filled in. The form is either a `document` (PDF, DOCX, XLSX, PPTX) or a template.
        The rest, and what is raised, is told at `RunResource`.

        `POST /v1/edits`
        """
        fields = _fields(
            instructions, document, template_id, model, config, bust_cache=bust_cache, background=background
        )
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        instructions: str,
        document: Document | None = None,
        template_id: str | None = None,
        model: str = "retab-small",
        config: EditConfig = EditConfig(),
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Edit]:
        """Tie a background edit to a block; see `RunResource`.

        `POST /v1/edits`, `POST /v1/edits/{edit_id}/cancel`
        """
        fields = _fields(instructions, document, template_id, model, config, bust_cache=bust_cache, background=True)
        return self._running(fields, idempotency_key)

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        template_id: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[Edit]:
        """Return the edits that match all filters; see `ListedRuns.list`.

        `GET /v1/edits`
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

    async def create_edit_cancel(self, edit_id: str | Edit) -> Edit:
        """Cancel an edit; the API's published name of `cancel`.

        `POST /v1/edits/{edit_id}/cancel`
        """
        return await self.cancel(edit_id)


def _fields(  # noqa: PLR0913 - the fields of the request
    instructions: str,
    document: Document | None,
    template_id: str | None,
    model: str,
    config: EditConfig,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    if (document is None) == (template_id is None):
        reject("give a document or a template_id, one of them")
    if not isinstance(config, EditConfig):
        reject(f"config must be an EditConfig, not {config!r:.200}")
    return drop_none(
        {
            "instructions": non_blank_str("instructions", instructions),
            "document": None if document is None else DocumentField(document),
            "template_id": optional_str("template_id", template_id),
            "model": non_blank_str("model", model),
            "config": {"color": non_blank_str("the color of config", config.color)},
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )
