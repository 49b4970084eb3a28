"""What is told of a job while it goes on: JSON lines, and the file of those that failed."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import IO, Any

import attrs
import click
from rich.console import Console

from retab_async.bulk import CancelOutcome
from retab_async.cli.bulk.rows import REASON
from retab_async.cli.outcomes import Outcome
from retab_async.cli.printing import print_json


@attrs.frozen(kw_only=True)
class Manner:
    """How a job is told of.

    `is_listed`: with a row for each run at its end, for a few whose ids were typed. `has_kinds`: its runs are of
    several kinds. `goes_on`: the same command again goes on where it was interrupted. `is_piped`: its ids are those on
    stdin.
    """

    as_json: bool
    failed: str | None
    goes_on: bool
    is_listed: bool = False
    has_kinds: bool = False
    is_piped: bool = False


class Telling:
    """Tells of each outcome in its `manner`; `kept` are those that are to be told of at the end."""

    def __init__(self, manner: Manner, failed: IO[bytes] | None) -> None:
        self.manner = manner
        self.kept: list[Outcome] = []
        self._failed = failed

    @property
    def is_printing(self) -> bool:
        """Whether it prints on a terminal while the job goes on."""
        return self.manner.as_json and Console().is_terminal

    def tell(self, outcome: CancelOutcome[Any]) -> None:
        """Tell of one outcome."""
        told = outcome_of(outcome)
        if self.manner.as_json:
            print_json(told.as_json())
        elif self.manner.is_listed:
            self.kept.append(told)
        if told.is_failure and self._failed is not None:
            self._note(told, self._failed)

    def _note(self, failed: Outcome, file: IO[bytes]) -> None:
        line = StringIO()
        if self.manner.has_kinds and failed.kind:
            csv.writer(line, lineterminator="\n").writerow((failed.kind, failed.run_id))
        else:
            line.write(f"{failed.run_id}\n")
        try:
            file.write(line.getvalue().encode(errors="surrogateescape"))
        except OSError as error:
            msg = f"{self.manner.failed} cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None


@contextmanager
def telling(manner: Manner) -> Iterator[Telling]:
    """Give what tells of outcomes; the file of those that failed is there from the start."""
    if manner.failed is None:
        yield Telling(manner, None)
        return
    try:
        file = Path(manner.failed).open("wb", buffering=0)  # noqa: SIM115 - what is written to it has its own errors
    except OSError as error:
        msg = f"{manner.failed} cannot be written: {error.strerror}"
        raise click.UsageError(msg) from None
    with file:
        yield Telling(manner, file)


def outcome_of(outcome: CancelOutcome[Any]) -> Outcome:
    """Return an outcome of the library's in the words of the command."""
    # What was a row of a file, and named no run, belongs to nothing.
    reason = str(outcome.error or "") if outcome.resource else REASON
    return Outcome(
        kind=outcome.resource,
        run_id=outcome.run_id,
        disposition=str(outcome.disposition),
        run=outcome.run,
        reason=reason,
    )
