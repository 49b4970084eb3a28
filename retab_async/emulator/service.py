"""What there is behind the routes: every run and file, and how runs are started."""

import secrets
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import attrs

from retab_async.emulator.clocks import Calendar
from retab_async.emulator.documents import Intake
from retab_async.emulator.files import File, Files, guessed_type
from retab_async.emulator.kinds import KINDS, Kind
from retab_async.emulator.run_timeline import TERMINAL, RunTimeline
from retab_async.emulator.runs import Run
from retab_async.emulator.store import IdempotencyStore, OrderedStore
from retab_async.emulator.uploads import Uploads
from retab_async.emulator.validation import read_asked

SAMPLE_NAME = "sample.pdf"
# Runs let go of them: they may be large, and what is shown of them is kept apart.
LET_GO = frozenset({"document", "documents"})


@attrs.frozen(eq=False)
class Service:
    """Every run, file and upload there is; background runs take `queued` and `running` seconds.

    A reader of runs that are not over is told to come again after `poll_after` seconds, unless that is None.
    """

    calendar: Calendar
    queued: float
    running: float
    poll_after: float | None
    runs: dict[Kind, OrderedStore[Run]] = attrs.field(
        init=False, factory=lambda: {kind: OrderedStore() for kind in KINDS.values()}
    )
    files: Files = attrs.field(init=False, factory=Files)
    uploads: Uploads = attrs.field(init=False, factory=Uploads)
    replays: IdempotencyStore = attrs.field(init=False, factory=IdempotencyStore)
    _numbers: Iterator[int] = attrs.field(init=False, factory=count)

    def add(
        self,
        kind: Kind,
        asked: dict[str, Any],
        life: RunTimeline,
        *,
        error: Mapping[str, Any] | None = None,
        words: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run on a request that has been read; refuses documents that cannot be had."""
        date = self.calendar.date(life.created)
        attached = kind.attach(asked, Intake(self.files, life, date))
        for document in attached.values():
            self.files.add(document.file)
        run = Run(
            id=f"{kind.prefix}_{secrets.token_hex(10)}",
            number=next(self._numbers),
            asked={name: value for name, value in asked.items() if name not in LET_GO},
            attached=attached,
            created_at=date,
            life=life,
            words=kind.reworded(words or {}),
            error=error,
        )
        self.runs[kind].add(run)
        return run

    def seed(self, kind: Kind, life: RunTimeline, *, error: Mapping[str, Any] | None, words: Mapping[str, str]) -> Run:
        """Start a run on the sample request of its kind."""
        if kind.sample_file:
            date = self.calendar.date(life.created)
            mime_type = guessed_type(SAMPLE_NAME)
            sample = File(
                id=kind.sample_file, filename=SAMPLE_NAME, mime_type=mime_type, size=0, sha256="", created_at=date
            )
            self.files.add(sample)
        asked = read_asked(kind.fields, {**kind.sample, "background": True})
        return self.add(kind, asked, life, error=error, words=words)

    def find(self, run_id: str) -> Run | None:
        """Find a run of any kind."""
        return next(filter(None, (runs.find(run_id) for runs in self.runs.values())), None)

    def active_runs(self) -> list[str]:
        """Give the ids of the runs that are not over, oldest first."""
        now = self.calendar.now()
        alive = (run for runs in self.runs.values() for run in runs if run.life.phase(now) not in TERMINAL)
        return [run.id for run in sorted(alive, key=lambda run: run.number)]


@attrs.frozen(kw_only=True)
class SeedOptions:
    """What seeded runs are to be like, as `Emulator.seed` has it."""

    queued: float
    running: float
    error: Mapping[str, Any] | None
    awaiting_review: bool
    cancelling: float
    status_words: Mapping[str, str]

    def create_runs(self, service: Service, collection: str, count: int) -> list[str]:
        """Start the runs and give their ids; ValueError for what runs of the kind cannot become."""
        kind = self._checked(collection)
        return [
            service.seed(kind, self._life(service.calendar.now()), error=self.error, words=self.status_words).id
            for _ in range(count)
        ]

    def _checked(self, collection: str) -> Kind:
        kind = KINDS.get(collection)
        if kind is None:
            msg = f"no such kind of run: {collection!r}; there are {', '.join(sorted(KINDS))}"
            raise ValueError(msg)
        if self.awaiting_review and not kind.can_pause:
            msg = f"{collection} never await review"
            raise ValueError(msg)
        if self.awaiting_review and self.error is not None:
            msg = "runs that await review do not go on to fail: give awaiting_review or an error"
            raise ValueError(msg)
        return kind

    def _life(self, now: float) -> RunTimeline:
        return RunTimeline(
            created=now,
            queued=self.queued,
            running=self.running,
            fails=self.error is not None,
            awaits_review=self.awaiting_review,
            cancelling=self.cancelling,
        )
