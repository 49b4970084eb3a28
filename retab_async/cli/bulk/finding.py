"""What would be cancelled: runs that match, found by a dry run."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import attrs
import click

from retab_async.bulk import CancelOutcome
from retab_async.cli.bulk.board import Board, showing
from retab_async.cli.bulk.telling import outcome_of
from retab_async.cli.failures import failures_told
from retab_async.cli.harmless import harmless
from retab_async.cli.printing import brief, print_json, print_row
from retab_async.cli.progress import counted
from retab_async.client import AsyncRetab


@attrs.frozen
class Search:
    """A search for the runs of a kind that match and are not over; both its ways end with how many there are."""

    name: str
    filters: Mapping[str, Any]
    patience: float

    def show(self, *, as_json: bool) -> None:
        """Print each run as it is found."""

        def tell(found: CancelOutcome[Any]) -> None:
            if as_json:
                print_json(outcome_of(found).as_json())
                return
            assert found.run is not None  # noqa: S101 - it was found by it
            print_row(brief(found.run))

        self._walk(tell, is_shown=False)

    def count(self) -> int:
        """Return how many there are."""
        return self._walk(lambda _: None, is_shown=True)

    def _walk(self, tell: Callable[[CancelOutcome[Any]], None], *, is_shown: bool) -> int:
        statuses: Counter[str] = Counter()
        with failures_told():
            asyncio.run(self._find(tell, statuses, is_shown=is_shown))
        found = statuses.total()
        told = f"{found:,} {self.name.replace('.', ' ')} would be cancelled"
        click.echo(harmless(f"{told}: {counted(statuses)}" if found else told), err=True)
        return found

    async def _find(
        self, tell: Callable[[CancelOutcome[Any]], None], statuses: Counter[str], *, is_shown: bool
    ) -> None:
        async with AsyncRetab() as client:
            find = attrgetter(self.name)(client).cancel_matching
            async with find(**self.filters, patience=self.patience, dry_run=True) as found:
                board = Board("listing", None, lambda: found.report, client.stats)
                with showing(board, is_wanted=is_shown):
                    async for outcome in found:
                        statuses[outcome_of(outcome).status] += 1
                        tell(outcome)
