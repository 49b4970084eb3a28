"""Progress on stderr: a bar for deletes, the status of awaited runs, the figures of a bulk job."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import attrs
import click
from rich import filesize
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from retab_async.bulk import CancelReport
from retab_async.cli.console import escape_control_chars, stderr_console
from retab_async.cli.output import Outcome
from retab_async.cli.params import is_quiet
from retab_async.documents import UploadCallback, UploadProgress
from retab_async.models import Run, RunStatus
from retab_async.process import ProcessReport
from retab_async.throttle import Stats

# Seconds between two refreshes, before the first line and between two where there is no terminal, and for the average
# of a rate.
_REFRESH_INTERVAL = 0.2
_FIRST_LINE_DELAY = 2.0
_LINE_INTERVAL = 30.0
_RATE_PERIOD = 15.0


@contextmanager
def outcome_bar(label: str, total: int) -> Iterator["OutcomeBar"]:
    """Show a bar with the counts of dispositions, if stderr is a terminal."""
    console = stderr_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console)
    with progress if console.is_terminal and not is_quiet() else nullcontext():
        yield OutcomeBar(progress, label, total)


class OutcomeBar:
    """Progress bar that counts outcomes by disposition."""

    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self._counts: Counter[str] = Counter()
        self._progress = progress
        self._task = progress.add_task(label, total=total, counts="")

    def add(self, outcome: Outcome) -> None:
        """Count one outcome and advance the bar."""
        self._counts[outcome.disposition] += 1
        self._progress.update(self._task, advance=1, counts=format_counts(self._counts))


@contextmanager
def status_reporter(label: str) -> Iterator["StatusReporter"]:
    """Report the status of runs: on one live line if stderr is a terminal, as a line for each change elsewhere."""
    console = stderr_console()
    if is_quiet():
        yield _QuietStatusReporter()
        return
    if not console.is_interactive:
        yield StatusReporter()
        return
    columns = (_spinner(console), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # stdout may be redirected: rich must not move its lines to stderr.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        yield _LiveStatusReporter(progress, label)


class StatusReporter:
    """Prints a line on stderr whenever a run is seen in a new status."""

    def __init__(self) -> None:
        self._statuses: dict[str, RunStatus] = {}

    def update(self, run: Run) -> None:
        """Record a run as it was just seen."""
        if self._statuses.get(run.id) != run.status:
            self._statuses[run.id] = run.status
            self._show(run)

    def describe(self, activity: str) -> None:
        """Show what is being done, on a live line only."""

    @property
    def on_upload(self) -> UploadCallback | None:
        """What shows the progress of uploads, None where there is no live line."""
        return None

    def paused(self) -> AbstractContextManager[None]:
        """Hide the live line while other output is printed."""
        return nullcontext()

    def unfinished(self, run_ids: Iterable[str]) -> list[str]:
        """Return those of these runs that were not seen in a terminal status."""
        return [run_id for run_id in run_ids if run_id not in self._statuses or not self._statuses[run_id].is_terminal]

    def _show(self, run: Run) -> None:
        click.echo(escape_control_chars(f"{run.id} {run.status}"), err=True)


class _QuietStatusReporter(StatusReporter):
    """Status reporter that prints nothing."""

    def _show(self, run: Run) -> None:
        """Print nothing."""


class _LiveStatusReporter(StatusReporter):
    """Status reporter with one live line: the run and its status, or the number of runs in each status."""

    def __init__(self, progress: Progress, label: str) -> None:
        super().__init__()
        self._progress = progress
        self._label = label
        self._task = progress.add_task(label, total=None)

    def describe(self, activity: str) -> None:
        self._progress.update(self._task, description=escape_control_chars(activity), refresh=True)

    @property
    def on_upload(self) -> UploadCallback | None:
        return self._show_upload

    def _show_upload(self, progress: UploadProgress) -> None:
        # No refresh: the line is drawn ten times a second anyway.
        line = format_upload(progress) if progress.sent < progress.total else self._label
        self._progress.update(self._task, description=escape_control_chars(line))

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def _show(self, run: Run) -> None:
        if len(self._statuses) == 1:
            self.describe(f"{run.id} {run.status}")
        else:
            # No refresh: the line is drawn ten times a second anyway, and many runs change at once.
            counts = format_counts(Counter(self._statuses.values()))
            self._progress.update(self._task, description=escape_control_chars(counts))


def format_upload(progress: UploadProgress) -> str:
    """Return what is being uploaded, and how much of it was sent."""
    name = progress.filename or "documents"
    share = 100 * progress.sent // progress.total
    return f"uploading {name}: {share} % of {filesize.decimal(progress.total)}"


def format_counts(counts: Mapping[Any, int]) -> str:
    """Return each word with its count, in alphabetical order."""
    return "  ".join(f"{word} {count:,}" for word, count in sorted(counts.items()))


def format_report(report: CancelReport | ProcessReport) -> str:
    """Return the figures of a job: the counts, and of a process job its runs and credits before and after them."""
    counts = format_counts(report.counts)
    if isinstance(report, CancelReport):
        return counts
    parts = (f"started {report.started:,}", f"running {report.active:,}", counts, f"credits {report.credits:,.6g}")
    return "  ".join(filter(None, parts))


def format_throttle(stats: Stats, *, has_window: bool = True) -> str:
    """Return the requests in flight, the rate in force and the number of 429 responses.

    Args:
        stats: The statistics of the client.
        has_window: Whether the learned limit of requests in flight applies; it does not to creates.
    """
    rate = f"  limited to {stats.rate:.1f}/s" if stats.rate is not None else ""
    throttled = f"  429: {stats.throttled}" if stats.throttled else ""
    in_flight = f"{stats.in_flight} of {stats.concurrency_limit}" if has_window else f"{stats.in_flight} requests"
    return f"{in_flight} in flight{rate}{throttled}"


@attrs.frozen
class JobFigures:
    """The figures that a progress display of a bulk job shows.

    Attributes:
        label: What the job does, such as `cancelling`.
        total: The number of ids, or None if it is unknown.
        report: Returns the report so far.
        stats: Returns the client's statistics.
    """

    label: str
    total: int | None
    report: Callable[[], CancelReport | ProcessReport]
    stats: Callable[[], Stats]

    def format_throttle(self) -> str:
        """Return the figures of the throttle."""
        return format_throttle(self.stats(), has_window=isinstance(self.report(), CancelReport))


class JobProgress(Progress):
    """Progress display of a bulk job: a bar with rate and remaining time, then counts, then the throttle."""

    def __init__(self, figures: JobFigures, console: Console) -> None:
        # First, because the base class draws itself once.
        self._figures = figures
        super().__init__(
            _spinner(console),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            speed_estimate_period=_RATE_PERIOD,
            # stdout may be redirected: rich must not move its lines to stderr.
            redirect_stdout=False,
        )
        self._task = self.add_task(figures.label, total=figures.total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar and two lines of figures."""
        yield from super().get_renderables()
        for line in (format_report(self._figures.report()), self._figures.format_throttle()):
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def redraw(self) -> None:
        """Take the current figures and draw them."""
        self.update(self._task, completed=self._figures.report().counts.total(), refresh=True)


class _RateColumn(ProgressColumn):
    """Column with the number of outcomes a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.1f}/s")


def _spinner(console: Console) -> SpinnerColumn:
    return SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")


@contextmanager
def job_progress(figures: JobFigures, *, is_wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Show the progress of a bulk job; yields a function that prints a line beside it.

    On a terminal the event loop redraws a display; elsewhere it prints a line after two seconds and every 30 seconds.
    """
    console = stderr_console()
    print_line: Callable[[str], None] = partial(click.echo, err=True)
    if is_quiet() or not is_wanted:
        yield print_line
    elif console.is_interactive:
        with JobProgress(figures, console) as progress, _repeating(0, _REFRESH_INTERVAL, progress.redraw):
            # A line on stderr itself would be drawn over.
            yield partial(console.print, markup=False, highlight=False)
            progress.redraw()
    else:
        with _repeating(_FIRST_LINE_DELAY, _LINE_INTERVAL, lambda: print_line(_progress_line(figures))):
            yield print_line


def _progress_line(figures: JobFigures) -> str:
    report = figures.report()
    count = report.counts.total()
    done = f"{count:,}" if figures.total is None else f"{count:,} of {figures.total:,}"
    if isinstance(report, CancelReport) and report.settled:
        done += f", {report.settled.total():,} settled before"
    return f"{figures.label}: {done}  {format_report(report)}  {figures.format_throttle()}"


@contextmanager
def _repeating(delay: float, interval: float, action: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def tick() -> None:
        nonlocal timer
        action()
        timer = loop.call_later(interval, tick)

    timer = loop.call_later(delay, tick)
    try:
        yield
    finally:
        timer.cancel()
