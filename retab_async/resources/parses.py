"""Parses: a document as text, page by page."""

import os
from datetime import date
from typing import Any, Literal

import attrs

from retab_async.arguments import flag, given, one_of, text, text_or_none
from retab_async.bulk import CancelJob, Order, Terms
from retab_async.dialects import Dialect
from retab_async.documents import Attachment, Document
from retab_async.listing import Listed
from retab_async.models import FileRef, Primitive, RetabUsage, Told
from retab_async.pacing import RateLimit
from retab_async.runs import DeletableRuns
from retab_async.scope import RunScope

_FORMATS = ("markdown", "yaml", "html", "json")


@attrs.frozen(kw_only=True, repr=False)
class ParseOutput(Told):
    """What a document says: each of its `pages`, and all of them as one `text`; empty until the run is completed."""

    pages: tuple[str, ...] = ()
    text: str = ""


@attrs.frozen(kw_only=True, repr=False)
class Parse(Primitive):
    """A parse run; an answer of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    table_parsing_format: str | None = None
    instructions: str | None = None
    output: ParseOutput = ParseOutput()
    usage: RetabUsage | None = None


class Parses(DeletableRuns[Parse]):
    """The parse runs of an account: `/v1/parses`."""

    path = "/v1/parses"
    run_type = Parse
    dialect = Dialect(unfinished=(None,))

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        model: str = "retab-small",
        table_parsing_format: Literal["markdown", "yaml", "html", "json"] = "html",
        instructions: str | None = None,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> Parse:
        """Start a parse and return it: over, or with `background=True` at once, for `wait` to follow.

        `table_parsing_format`: how tables are written. The rest, and what is raised, is told at `RunResource`.

        `POST /v1/parses`
        """
        fields = _fields(
            document, model, table_parsing_format, instructions, bust_cache=bust_cache, background=background
        )
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        model: str = "retab-small",
        table_parsing_format: Literal["markdown", "yaml", "html", "json"] = "html",
        instructions: str | None = None,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Parse]:
        """Tie a background parse to a block; see `RunResource`.

        `POST /v1/parses`, `POST /v1/parses/{parse_id}/cancel`
        """
        fields = _fields(document, model, table_parsing_format, instructions, bust_cache=bust_cache, background=True)
        return self._running(fields, idempotency_key)

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        filename: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> Listed[Parse]:
        """Return the parses that match all filters, of which the API has none for the status; see `ListedRuns.list`.

        `GET /v1/parses`
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

    def cancel_matching(  # noqa: PLR0913 - the filters, and how to go about it
        self,
        *,
        filename: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: Order = "completion",
        dry_run: bool = False,
        wait: bool = False,
        patience: float = 60.0,
    ) -> CancelJob[Parse]:
        """Cancel all parses that match and are not over; see `ListedRuns.cancel_matching`.

        `GET /v1/parses`, `POST /v1/parses/{id}/cancel`
        """
        terms = Terms.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            dry_run=dry_run,
            wait=wait,
            patience=patience,
        )
        return self._cancel_matching(terms, status=None, filename=filename, from_date=from_date, to_date=to_date)


def _fields(  # noqa: PLR0913 - the fields of the request
    document: Document,
    model: str,
    table_parsing_format: str,
    instructions: str | None,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return given(
        {
            "document": Attachment(document),
            "model": text("model", model),
            "table_parsing_format": one_of("table_parsing_format", table_parsing_format, _FORMATS),
            "instructions": text_or_none("instructions", instructions),
            "bust_cache": flag("bust_cache", bust_cache),
            "background": flag("background", background),
        }
    )
