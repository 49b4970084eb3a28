"""Splits: a document divided into named subdocuments."""

from collections.abc import Sequence
from typing import Any

import attrs

from retab_async.documents import Document, DocumentField
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.resources.base import DeletableRuns, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import (
    bounded_int,
    drop_none,
    non_blank_str,
    non_empty_list,
    optional_str,
    reject,
    strict_bool,
    utf8_str,
)


@attrs.frozen(repr=False)
class Subdocument(SparseRepr):
    """A part to look for in a document; it may be found more than once with `allow_multiple_instances`."""

    name: str
    description: str = attrs.field(default="", kw_only=True)
    allow_multiple_instances: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True, repr=False)
class SheetRegion(SparseRepr):
    """A block of cells of one sheet of a spreadsheet."""

    sheet_index: int
    sheet_name: str
    row_start: int
    row_end: int
    col_start: int | None = None
    col_end: int | None = None
    header_rows: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitResult(SparseRepr):
    """One subdocument that was found: its `pages`, counted from 1, and its `regions` in a spreadsheet."""

    name: str
    pages: tuple[int, ...] = ()
    regions: tuple[SheetRegion, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitSubdocumentLikelihood(SparseRepr):
    """How sure the votes were of one result: of its name, and of each of its pages."""

    name: float | None = None
    pages: tuple[float, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class SplitConsensus(SparseRepr):
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
    return drop_none(
        {
            "document": DocumentField(document),
            "subdocuments": [_part(part) for part in non_empty_list("subdocuments", subdocuments, "Subdocument")],
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=8),
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )


def _part(part: Subdocument) -> dict[str, Any]:
    if not isinstance(part, Subdocument):
        reject(f'subdocuments must be of Subdocument("name"), not {part!r:.200}')
    return {
        "name": non_blank_str("a subdocument's name", part.name),
        "description": utf8_str("a subdocument's description", part.description),
        "allow_multiple_instances": strict_bool("allow_multiple_instances", part.allow_multiple_instances),
    }
