"""Splits: a document divided into named subdocuments."""

from collections.abc import Sequence
from typing import Any

import attrs

from retab_async.arguments import any_text, flag, given, refuse, several, text, text_or_none, whole_number
from retab_async.documents import Attachment, Document
from retab_async.models import FileRef, Primitive, RetabUsage, Told
from retab_async.runs import DeletableRuns, ListedRuns
from retab_async.scope import RunScope


@attrs.frozen(repr=False)
class Subdocument(Told):
    """A part to look for in a document; it may be found more than once with `allow_multiple_instances`."""

    name: str
    description: str = attrs.field(default="", kw_only=True)
    allow_multiple_instances: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True, repr=False)
class SheetRegion(Told):
    """A block of cells of one sheet of a spreadsheet."""

    sheet_index: int
    sheet_name: str
    row_start: int
    row_end: int
    col_start: int | None = None
    col_end: int | None = None
    header_rows: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitResult(Told):
    """One subdocument that was found: its `pages`, counted from 1, and its `regions` in a spreadsheet."""

    name: str
    pages: tuple[int, ...] = ()
    regions: tuple[SheetRegion, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitSubdocumentLikelihood(Told):
    """How sure the votes were of one result: of its name, and of each of its pages."""

    name: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitConsensus(Told):
    """How the votes went: `likelihoods[i]` belongs to `output[i]`, `choices` are the single votes' outputs."""

    likelihoods: tuple[SplitSubdocumentLikelihood, ...] = ()
    choices: tuple[tuple[SplitResult, ...], ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class Split(Primitive):
    """A split run; an answer of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    subdocuments: tuple[Subdocument, ...] = ()
    n_consensus: int = 1
    instructions: str | None = None
    output: tuple[SplitResult, ...] = ()
    consensus: SplitConsensus | None = None
    usage: RetabUsage | None = None


class Splits(ListedRuns[Split], DeletableRuns[Split]):
    """The split runs of an account: `/v1/splits`."""

    path = "/v1/splits"
    run_type = Split

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        subdocuments: Sequence[Subdocument],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> Split:
        """Start a split and return it: over, or with `background=True` at once, for `wait` to follow.

        `subdocuments`: what to look for, at least one. `n_consensus`: 1 to 8. The rest, and what is raised, is told at
        `RunResource`.

        `POST /v1/splits`
        """
        fields = _fields(
            document, subdocuments, model, instructions, n_consensus, bust_cache=bust_cache, background=background
        )
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        subdocuments: Sequence[Subdocument],
        model: str = "retab-small",
        instructions: str | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Split]:
        """Tie a background split to a block; see `RunResource`.

        `POST /v1/splits`, `POST /v1/splits/{split_id}/cancel`
        """
        fields = _fields(
            document, subdocuments, model, instructions, n_consensus, bust_cache=bust_cache, background=True
        )
        return self._running(fields, idempotency_key)

    async def create_split_cancel(self, split_id: str | Split) -> Split:
        """Cancel a split; the API's published name of `cancel`.

        `POST /v1/splits/{split_id}/cancel`
        """
        return await self.cancel(split_id)


def _fields(  # noqa: PLR0913 - the fields of the request
    document: Document,
    subdocuments: Sequence[Subdocument],
    model: str,
    instructions: str | None,
    n_consensus: int,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return given(
        {
            "document": Attachment(document),
            "subdocuments": [_part(part) for part in several("subdocuments", subdocuments, "Subdocument")],
            "model": text("model", model),
            "instructions": text_or_none("instructions", instructions),
            "n_consensus": whole_number("n_consensus", n_consensus, least=1, most=8),
            "bust_cache": flag("bust_cache", bust_cache),
            "background": flag("background", background),
        }
    )


def _part(part: Subdocument) -> dict[str, Any]:
    if not isinstance(part, Subdocument):
        refuse(f'subdocuments must be of Subdocument("name"), not {part!r:.200}')
    return {
        "name": text("a subdocument's name", part.name),
        "description": any_text("a subdocument's description", part.description),
        "allow_multiple_instances": flag("allow_multiple_instances", part.allow_multiple_instances),
    }
