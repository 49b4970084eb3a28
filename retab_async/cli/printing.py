"""How the command shows things: tables on a terminal, plain lines elsewhere, JSON on request, progress on stderr."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from retab_async.cli.outcomes import Outcome

_COLOURS = {"cancelled": "green", "finished": "cyan", "requested": "yellow"}


def print_json(value: object) -> None:
    """Print one JSON object on one line."""
    click.echo(orjson.dumps(value).decode())


def shown(value: object) -> str:
    """Return a field of a run as people read it: text as it is, what is nested as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal, and lines with tabs between the columns elsewhere."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(header_style="bold")
    for number, heading in enumerate(headings):
        # An id that is cut short could not be copied.
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(f"[{_COLOURS.get(cell, 'default')}]{_literal(cell)}[/]" for cell in row))
    console.print(table)


def print_outcomes(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Print what became of each run."""
    if as_json:
        for outcome in outcomes:
            print_json(outcome.as_json())
        return
    headings = ("run", "disposition", "status", "reason")
    print_rows(headings, [(each.run_id, each.disposition, each.status, each.reason) for each in outcomes])


@contextmanager
def progress(label: str, total: int) -> Iterator["Tally"]:
    """Show a bar with the counts of dispositions on stderr while it lasts, where stderr is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield Tally(bar, label, total)


class Tally:
    """Counts outcomes by disposition and moves the bar along."""

    def __init__(self, bar: Progress, label: str, total: int) -> None:
        self.counts: Counter[str] = Counter()
        self._bar = bar
        self._task = bar.add_task(label, total=total, counts="")

    def tell(self, outcome: Outcome) -> None:
        """Take note of one outcome."""
        self.counts[outcome.disposition] += 1
        counts = "  ".join(f"{word} {count}" for word, count in sorted(self.counts.items()))
        self._bar.update(self._task, advance=1, counts=counts)


def _literal(text: str) -> str:
    return text.replace("[", r"\[")
