"""What waiting needs to know of a collection: how to look at one run, and how to look at many."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from retab_async.models import Run

SeenT = TypeVar("SeenT", bound=Run)
SeenT_co = TypeVar("SeenT_co", bound=Run, covariant=True)


class Rows(NamedTuple):
    """One page of a list as it came: its rows, the cursor of the next page, and the server's hint."""

    rows: Sequence[Any]
    after: str | None = None
    hint: float | None = None


class Sighting(NamedTuple, Generic[SeenT]):
    """A run as an answer shows it: `is_whole` with all that there is to know of it, `hint` as in `Reads`."""

    run: SeenT
    is_whole: bool
    hint: float | None = None


class Reads(Protocol[SeenT_co]):
    """The reads of a collection; a hint is the Retry-After of a 2xx, in seconds."""

    @property
    def is_listed(self) -> bool:
        """Whether there are `rows`."""

    @property
    def has_output(self) -> bool:
        """Whether a look may leave the output out."""

    async def look(self, run_id: str, *, include_output: bool) -> tuple[SeenT_co, float | None]:
        """Return a run as it is now, and the hint; raises `RetabError`."""

    async def rows(self, after: str | None) -> Rows:
        """Return the page of 100 runs, newest first, that comes after a cursor; raises `RetabError`."""

    def read_row(self, row: dict[str, Any]) -> tuple[SeenT_co, bool] | None:
        """Return the run that a row shows and whether it is all of it, or None for a row that cannot be read."""
