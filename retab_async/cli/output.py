"""Output formats: tables and columns on a terminal, tab-separated lines elsewhere, JSON on request."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import click
from rich.table import Table
from rich.text import Text

from retab_async.bulk import CancelOutcome, Disposition
from retab_async.bulk.results import FAILURES
from retab_async.cli.console import escape_control_chars, stdout_console
from retab_async.converter import unstructure
from retab_async.json_codec import dumps_any
from retab_async.models import Run

# As JSON escapes: a terminal of any encoding can print it.
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
DELETED = "deleted"

_COLOURS = {
    DELETED: "green",
    "cancelled": "green",
    "completed": "green",
    "failed": "red",
    Disposition.FINISHED: "cyan",
    Disposition.ACCEPTED: "yellow",
}
# Widths of an id, a status and a date; the last column has none.
_WIDTHS = (26, 11, 20)
_KIND_WIDTH = 26


@attrs.frozen(kw_only=True)
class Outcome:
    """The result for one id.

    Attributes:
        kind: The kind of the run, such as `splits`; empty if it is unknown.
        run_id: The id as it was given.
        disposition: `deleted`, or the disposition of a `CancelOutcome`.
        run: The run as last seen, if the API returned it.
        reason: Why it failed; may be empty.
    """

    kind: str
    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @classmethod
    def from_cancel(cls, outcome: CancelOutcome[Any]) -> "Outcome":
        """Return the outcome of a cancel."""
        return cls(
            kind=outcome.kind,
            run_id=outcome.run_id,
            disposition=str(outcome.disposition),
            run=outcome.run,
            reason=str(outcome.error or ""),
        )

    @property
    def is_failure(self) -> bool:
        """Whether the run may still be active, or may still exist."""
        return self.disposition in FAILURES

    @property
    def status(self) -> str:
        """The status of the run; empty if it is unknown."""
        return str(self.run.status) if self.run else ""

    def as_row(self, *, with_kind: bool = False) -> tuple[str, ...]:
        """Return the cells of a table row: id, kind if wanted, disposition, status, reason."""
        kind = (self.kind,) if with_kind else ()
        return self.run_id, *kind, self.disposition, self.status, self.reason

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that holds the run in the API's own form."""
        return {
            "kind": self.kind or None,
            "id": self.run_id,
            "disposition": self.disposition,
            "run": unstructure(self.run) if self.run else None,
            "reason": self.reason or None,
        }


def print_json(value: object) -> None:
    """Print one JSON object on one line, in ASCII so that no text in it can control a terminal."""
    text = dumps_any(value).decode()
    click.echo(_NON_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal, tab-separated lines without headings elsewhere."""
    console = stdout_console()
    if not console.is_terminal:
        for row in rows:
            _print_tabbed(row)
        return
    console.print(make_table(headings, rows))


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of rich."""
    table = Table(header_style="bold")
    for number, heading in enumerate(headings):
        # A wrapped id could not be copied.
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(_styled, row))
    return table


def print_row(row: Sequence[str], widths: Sequence[int] = _WIDTHS) -> None:
    """Print one row of a stream: in columns of these widths on a terminal, tab-separated elsewhere."""
    console = stdout_console()
    if not console.is_terminal:
        _print_tabbed(row)
        return
    cells = [_styled(cell, width) for cell, width in zip(row, (*widths, 0), strict=False)]
    line = Text("  ").join(cells)
    line.rstrip()
    console.print(line, soft_wrap=True)


def print_run(run: Run, *, as_json: bool) -> None:
    """Print the fields of a run that are set, one a line, or the run as JSON."""
    fields = unstructure(run)
    if as_json:
        print_json(fields)
        return
    rows = [(name, _text_of(value)) for name, value in fields.items() if value not in (None, [], "")]
    print_table(("field", "value"), rows)


def print_run_summary(run: Run, *, as_json: bool, kind: str | None = None) -> None:
    """Print a run as one row (kind if there are several, id, status, creation time, filename), or as JSON."""
    if as_json:
        print_json(unstructure(run))
        return
    file = getattr(run, "file", None)
    row = (run.id, str(run.status), format_date(run.created_at), file.filename if file else "")
    if kind is None:
        print_row(row)
    else:
        print_row((kind, *row), (_KIND_WIDTH, *_WIDTHS))


def format_date(moment: datetime | None) -> str:
    """Return a time in UTC, such as 2026-11-01T08:30:00Z; empty for None."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def print_outcomes(outcomes: Sequence[Outcome], *, as_json: bool, with_kind: bool = False) -> None:
    """Print a row for each outcome, with its kind if there are several, or a JSON object for each."""
    if as_json:
        for outcome in outcomes:
            print_json(outcome.as_json())
        return
    headings = ("run", *(("kind",) if with_kind else ()), "disposition", "status", "reason")
    print_table(headings, [outcome.as_row(with_kind=with_kind) for outcome in outcomes])


def _print_tabbed(row: Sequence[str]) -> None:
    click.echo("\t".join(map(escape_control_chars, row)))


def _styled(cell: str, width: int = 0) -> Text:
    return Text(escape_control_chars(cell).ljust(width), _COLOURS.get(cell, ""))


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else dumps_any(value).decode()
