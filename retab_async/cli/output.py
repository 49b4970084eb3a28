"""How the command shows things: tables and columns on a terminal, lines with tabs elsewhere, JSON on request."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

import attrs
import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retab_async.bulk import Disposition
from retab_async.cli.console import escape_control_chars
from retab_async.converter import unstructure
from retab_async.models import Run

_FAILURES = frozenset(str(word) for word in Disposition if word.is_failure)


@attrs.frozen(kw_only=True)
class Outcome:
    """One id and what became of it.

    `kind`: the name of its collection, empty where that is not known. `disposition`: `deleted`, or the word of a
    `CancelOutcome`.
    """

    kind: str
    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether what was to be done may not have been."""
        return self.disposition in _FAILURES

    @property
    def status(self) -> str:
        """The run's status, or nothing where none is known."""
        return str(self.run.status) if self.run else ""

    def as_row(self, *, has_kind: bool = False) -> tuple[str, ...]:
        """Return it as a row for people: its id, its kind if that is wanted, disposition, status, reason."""
        kind = (self.kind,) if has_kind else ()
        return self.run_id, *kind, self.disposition, self.status, self.reason

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object, the run inside it as the API writes it."""
        return {
            "kind": self.kind or None,
            "id": self.run_id,
            "disposition": self.disposition,
            "run": unstructure(self.run) if self.run else None,
            "reason": self.reason or None,
        }


_COLOURS = {
    "cancelled": "green",
    "completed": "green",
    "deleted": "green",
    "failed": "red",
    "finished": "cyan",
    "accepted": "yellow",
}
# Of the columns before the last: an id, a status, a date.
_WIDTHS = (26, 11, 20)


def print_json(value: object) -> None:
    """Print one JSON object on one line, in ASCII: what is in its texts cannot reach a terminal."""
    click.echo(json.dumps(value, separators=(",", ":")))


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal, and lines with tabs between the columns elsewhere."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            _print_with_tabs(row)
        return
    table = Table(header_style="bold")
    for number, heading in enumerate(headings):
        # An id that is cut short could not be copied.
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(_coloured, row))
    console.print(table)


def print_row(row: Sequence[str]) -> None:
    """Print a row that others may follow later: in columns on a terminal, with tabs between them elsewhere."""
    console = Console()
    if not console.is_terminal:
        _print_with_tabs(row)
        return
    cells = [_coloured(cell, width) for cell, width in zip(row, (*_WIDTHS, 0), strict=False)]
    line = Text("  ").join(cells)
    line.rstrip()
    console.print(line, soft_wrap=True)


def print_run(run: Run, *, as_json: bool) -> None:
    """Print what is known of a run, a field a line."""
    fields = unstructure(run)
    if as_json:
        print_json(fields)
        return
    told = {key: value for key, value in fields.items() if value not in (None, [], "")}
    print_rows(("field", "value"), [(key, _shown(value)) for key, value in told.items()])


def print_outcomes(outcomes: Sequence[Outcome], *, as_json: bool, has_kinds: bool = False) -> None:
    """Print what became of each run, with the kind of each if there are several."""
    if as_json:
        for outcome in outcomes:
            print_json(outcome.as_json())
        return
    headings = ("run", *(("kind",) if has_kinds else ()), "disposition", "status", "reason")
    print_rows(headings, [outcome.as_row(has_kind=has_kinds) for outcome in outcomes])


def summary(run: Run) -> tuple[str, str, str, str]:
    """Return the row that stands for a run among others: its id, its status, when it was created, and its file."""
    created = run.created_at.astimezone(UTC).isoformat(timespec="seconds") if run.created_at else ""
    file = getattr(run, "file", None)
    return run.id, str(run.status), created.replace("+00:00", "Z"), file.filename if file else ""


def _print_with_tabs(row: Sequence[str]) -> None:
    click.echo("\t".join(map(escape_control_chars, row)))


def _coloured(cell: str, width: int = 0) -> Text:
    return Text(escape_control_chars(cell).ljust(width), _COLOURS.get(cell, ""))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
