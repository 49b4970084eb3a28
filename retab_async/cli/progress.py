"""What the command shows on stderr while it waits: a bar for many calls, a line for runs that are followed."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from retab_async.bulk import CancelReport
from retab_async.cli.console import escape_control_chars
from retab_async.cli.output import Outcome
from retab_async.models import Run, RunStatus
from retab_async.throttle import Stats


@contextmanager
def progress(label: str, total: int) -> Iterator["OutcomeProgress"]:
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
        yield OutcomeProgress(bar, label, total)


class OutcomeProgress:
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
def status_reporter(label: str) -> Iterator["StatusReporter"]:
    """Show how runs stand while it lasts: by a line that lives on a terminal, by a line a change elsewhere."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield StatusReporter()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # What is printed on stdout is for stdout, wherever that leads.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as line:
        yield _LiveFollowing(line, label)


class StatusReporter:
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
        click.echo(escape_control_chars(f"{run.id} {run.status}"), err=True)


class _LiveFollowing(StatusReporter):
    """Keeps one line on a terminal: the run and its status, or how many runs there are of each status."""

    def __init__(self, line: Progress, label: str) -> None:
        super().__init__()
        self._line = line
        self._task = line.add_task(label, total=None)

    def say(self, text: str) -> None:
        self._line.update(self._task, description=escape_control_chars(text), refresh=True)

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
            self._line.update(self._task, description=escape_control_chars(counted(Counter(self._seen.values()))))


def counted(words: Mapping[Any, int]) -> str:
    """Return how many there are of each of some words."""
    return "  ".join(f"{word} {count:,}" for word, count in sorted(words.items()))


# Seconds from picture to picture, and those over which a speed is taken.
_INTERVAL = 0.2
_SPAN = 15.0
_WIDTH = 30


class Speed:
    """How many a second came to their end of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int) -> float:
        """Take note of how many are done, and return how many a second that makes."""
        now = self._clock()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _SPAN and len(self._seen) > 2:
            self._seen.popleft()
        began, before = self._seen[0]
        return (done - before) / (now - began) if now > began else 0.0


class JobProgress:
    """A picture of a job: `report` and `stats` tell of it, `total` are its ids where their number is known."""

    def __init__(
        self, label: str, total: int | None, report: Callable[[], CancelReport], stats: Callable[[], Stats]
    ) -> None:
        self._label = label
        self._total = total
        self._report = report
        self._stats = stats
        self._speed = Speed()
        self._spinner = Spinner("dots")

    def __rich__(self) -> Group:
        counts = self._report().counts
        lines = (counted(counts), rate_text(self._stats()))
        return Group(self._progress(counts.total()), *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def _progress(self, done: int) -> Table:
        speed = self._speed.note(done)
        row = Table.grid(padding=(0, 1))
        if self._total is None:
            row.add_row(self._spinner, self._label, f"{done:,}", f"{speed:,.1f}/s")
        else:
            bar = ProgressBar(max(self._total, 1), done, width=_WIDTH)
            row.add_row(
                self._label, bar, f"{done:,}/{self._total:,}", f"{speed:,.1f}/s", eta_text(self._total - done, speed)
            )
        return row


def eta_text(ids: int, speed: float) -> str:
    """Return how long so many ids will take, or nothing where that cannot be told."""
    return f"{timedelta(seconds=round(ids / speed))} left" if ids > 0 and speed > 0 else ""


def rate_text(stats: Stats) -> str:
    """Return the pace of this moment."""
    kept = f"  kept to {stats.rate:.1f}/s" if stats.rate is not None else ""
    refused = f"  429: {stats.throttled}" if stats.throttled else ""
    return f"{stats.in_flight} of {stats.concurrency_limit} in flight{kept}{refused}"


def is_watched() -> bool:
    """Tell whether stderr is a terminal on which a picture can be drawn over."""
    return Console(stderr=True).is_interactive


@contextmanager
def live_progress(board: JobProgress, *, is_wanted: bool) -> Iterator[Callable[[str], None]]:
    """Show a board while it lasts, where somebody watches, drawn in the event loop; gives what says something there."""
    if not (is_wanted and is_watched()):
        yield partial(click.echo, err=True)
        return
    loop = asyncio.get_running_loop()
    # What is printed on stdout is for stdout, wherever that leads.
    with Live(board, console=Console(stderr=True), auto_refresh=False, redirect_stdout=False) as live:
        timer: asyncio.Handle

        def draw() -> None:
            nonlocal timer
            live.refresh()
            timer = loop.call_later(_INTERVAL, draw)

        timer = loop.call_soon(draw)
        try:
            # The board would be drawn over what others say on stderr.
            yield partial(live.console.print, markup=False, highlight=False)
        finally:
            timer.cancel()
