"""What there is behind the routes: every run and file, and how runs are started."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs

from retab_async.emulator.clocks import Calendar
from retab_async.emulator.documents import file_behind
from retab_async.emulator.files import Files
from retab_async.emulator.kinds import KINDS, Kind
from retab_async.emulator.life import OVER, Life
from retab_async.emulator.replays import Replays
from retab_async.emulator.runs import ORDER, Run, Runs
from retab_async.emulator.uploads import Uploads


@attrs.frozen(eq=False)
class Service:
    """Every run, file and upload there is; background runs take `queued` and `running` seconds.

    A reader of runs that are not over is told to come again after `poll_after` seconds, unless that is None.
    """

    calendar: Calendar
    queued: float
    running: float
    poll_after: float | None
    runs: dict[Kind, Runs] = attrs.field(init=False, factory=lambda: {kind: Runs() for kind in KINDS.values()})
    files: Files = attrs.field(init=False, factory=Files)
    uploads: Uploads = attrs.field(init=False, factory=Uploads)
    replays: Replays = attrs.field(init=False, factory=Replays)
    _numbers: Iterator[int] = attrs.field(init=False, factory=count)

    def add(
        self, kind: Kind, asked: dict[str, Any], queued: float, running: float, error: dict[str, Any] | None = None
    ) -> Run:
        """Start a run on a request that has been read; refuses a document that cannot be had."""
        now = self.calendar.now()
        date = self.calendar.date(now)
        file = file_behind(asked["document"], self.files, date)
        self.files.add(file)
        life = Life(created=now, queued=queued, running=running, fails=error is not None)
        run = Run.of(kind, asked, file, number=next(self._numbers), life=life, created_at=date, error=error)
        self.runs[kind].add(run)
        return run

    def find(self, run_id: str) -> Run | None:
        """Find a run of any kind."""
        return next(filter(None, (runs.find(run_id) for runs in self.runs.values())), None)

    def alive(self) -> list[str]:
        """Give the ids of the runs that are not over, oldest first."""
        now = self.calendar.now()
        alive = (run for runs in self.runs.values() for run in runs if run.life.status(now) not in OVER)
        return [run.id for run in sorted(alive, key=ORDER)]
