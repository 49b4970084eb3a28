"""What the command shows on stderr while it waits: a bar for many calls, a line for runs that are followed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from retab_async.cli.harmless import harmless
from retab_async.cli.outcomes import Outcome
from retab_async.models import Run, RunStatus


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
    bar = Progress(*columns, console=console)
    with bar if console.is_terminal else nullcontext():
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
        self._bar.update(self._task, advance=1, counts=counted(self.counts))


@contextmanager
def following(label: str) -> Iterator["Following"]:
    """Show how runs stand while it lasts: by a line that lives on a terminal, by a line a change elsewhere."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield Following()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # What is printed on stdout is for stdout, wherever that leads.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as line:
        yield _LiveFollowing(line, label)


class Following:
    """Prints a line on stderr whenever a run is seen in another status than before."""

    def __init__(self) -> None:
        self._seen: dict[str, RunStatus] = {}

    def tell(self, run: Run) -> None:
        """Take note of a run as it was seen."""
        if self._seen.get(run.id) != run.status:
            self._seen[run.id] = run.status
            self._show(run)

    def say(self, text: str) -> None:
        """Show what is being done, where that does not stay."""

    def aside(self) -> AbstractContextManager[None]:
        """Keep clear of what is printed meanwhile."""
        return nullcontext()

    def not_over(self, run_ids: Iterable[str]) -> list[str]:
        """Return those of these runs that were not seen to be over."""
        return [run_id for run_id in run_ids if run_id not in self._seen or not self._seen[run_id].is_terminal]

    def _show(self, run: Run) -> None:
        click.echo(harmless(f"{run.id} {run.status}"), err=True)


class _LiveFollowing(Following):
    """Keeps one line on a terminal: the run and its status, or how many runs there are of each status."""

    def __init__(self, line: Progress, label: str) -> None:
        super().__init__()
        self._line = line
        self._task = line.add_task(label, total=None)

    def say(self, text: str) -> None:
        self._line.update(self._task, description=harmless(text), refresh=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._line.stop()
        try:
            yield
        finally:
            self._line.start()

    def _show(self, run: Run) -> None:
        if len(self._seen) == 1:
            self.say(f"{run.id} {run.status}")
        else:
            # The line is drawn ten times a second anyway, and of many runs many change at once.
            self._line.update(self._task, description=harmless(counted(Counter(self._seen.values()))))


def counted(words: Mapping[Any, int]) -> str:
    """Return how many there are of each of some words."""
    return "  ".join(f"{word} {count:,}" for word, count in sorted(words.items()))
