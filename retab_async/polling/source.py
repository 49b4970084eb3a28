"""Interface to the reads that polling is made of, and the values that they return."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from retab_async.models import Run

RunT = TypeVar("RunT", bound=Run)
RunT_co = TypeVar("RunT_co", bound=Run, covariant=True)


class RawPage(NamedTuple):
    """Unparsed page of a list.

    Attributes:
        rows: The rows, newest first.
        after: Cursor of the next page, None or empty where there is none.
        hint: The `Retry-After` of the response: seconds until the next poll, None without one.
    """

    rows: Sequence[Any]
    after: str | None = None
    hint: float | None = None


class Snapshot(NamedTuple, Generic[RunT]):
    """Run as one response shows it.

    Attributes:
        run: The run.
        is_whole: Whether nothing is left out, the output above all.
        hint: The `Retry-After` of the response: seconds until the next poll, None without one.
    """

    run: RunT
    is_whole: bool
    hint: float | None = None


class RunSource(Protocol[RunT_co]):
    """Reads of one kind of run."""

    @property
    def is_listed(self) -> bool:
        """Whether the runs can be listed."""

    @property
    def has_output(self) -> bool:
        """Whether a read may leave out the output."""

    async def fetch(self, run_id: str, *, include_output: bool) -> tuple[RunT_co, float | None]:
        """Return the current run, and the seconds after which the server wants to be polled again; `RetabError`."""

    async def fetch_raw_page(self, after: str | None) -> RawPage:
        """Return the page of 100 runs, newest first, that follows a cursor; `RetabError`."""

    def read_row(self, row: dict[str, Any]) -> tuple[RunT_co, bool] | None:
        """Return the run of a row and whether that is all of it, None for a row that cannot be read."""
