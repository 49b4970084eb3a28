"""Splits: a document divided into named subdocuments."""

import attrs

from retab_async.models import FileRef, RetabUsage, Run, Told
from retab_async.runs import RunResource


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
class Split(Run):
    """A split run; an answer of three fields leaves all but `id`, `status` and `error` at their defaults."""

    file: FileRef | None = None
    model: str | None = None
    subdocuments: tuple[Subdocument, ...] = ()
    n_consensus: int = 1
    instructions: str | None = None
    output: tuple[SplitResult, ...] = ()
    consensus: SplitConsensus | None = None
    usage: RetabUsage | None = None


class Splits(RunResource[Split]):
    """The split runs of an account: `/v1/splits`."""

    path = "/v1/splits"
    run_type = Split

    async def create_split_cancel(self, split_id: str | Split) -> Split:
        """Cancel a split; the API's published name of `cancel`.

        `POST /v1/splits/{split_id}/cancel`
        """
        return await self.cancel(split_id)
