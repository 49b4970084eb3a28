"""What is shown on a terminal while a job goes on: how far it is, how fast, and at what pace."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from retab_async.bulk import CancelReport
from retab_async.cli.progress import counted
from retab_async.pacing import Stats

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


class Board:
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
        lines = (counted(counts), pace(self._stats()))
        return Group(self._progress(counts.total()), *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def _progress(self, done: int) -> Table:
        speed = self._speed.note(done)
        row = Table.grid(padding=(0, 1))
        if self._total is None:
            row.add_row(self._spinner, self._label, f"{done:,}", f"{speed:,.1f}/s")
        else:
            bar = ProgressBar(max(self._total, 1), done, width=_WIDTH)
            row.add_row(
                self._label, bar, f"{done:,}/{self._total:,}", f"{speed:,.1f}/s", left(self._total - done, speed)
            )
        return row


def left(ids: int, speed: float) -> str:
    """Return how long so many ids will take, or nothing where that cannot be told."""
    return f"{timedelta(seconds=round(ids / speed))} left" if ids > 0 and speed > 0 else ""


def pace(stats: Stats) -> str:
    """Return the pace of this moment."""
    kept = f"  kept to {stats.rate:.1f}/s" if stats.rate is not None else ""
    refused = f"  429: {stats.throttled}" if stats.throttled else ""
    return f"{stats.in_flight} of {stats.limit} in flight{kept}{refused}"


def is_watched() -> bool:
    """Tell whether stderr is a terminal on which a picture can be drawn over."""
    return Console(stderr=True).is_interactive


@contextmanager
def showing(board: Board, *, is_wanted: bool) -> Iterator[Callable[[str], None]]:
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
