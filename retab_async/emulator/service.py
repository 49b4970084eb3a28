"""State behind the routes: every run, file and upload, and the creation of runs."""

import secrets
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import count
from typing import Any

import attrs

from retab_async.emulator.clocks import Calendar
from retab_async.emulator.documents import DocumentLoader
from retab_async.emulator.files import File, FileStore, guess_media_type
from retab_async.emulator.kinds import KINDS, RunKind
from retab_async.emulator.run_timeline import TERMINAL, RunTimeline
from retab_async.emulator.runs import Run
from retab_async.emulator.store import IdempotencyStore, OrderedStore
from retab_async.emulator.uploads import UploadStore
from retab_async.emulator.validation import parse_body

SAMPLE_NAME = "sample.pdf"
DEFAULT_ERROR = {"code": "processing_error", "message": "The run failed."}
# Not kept with a run: they may be large, and their description is kept apart.
DROPPED_FIELDS = frozenset({"document", "documents"})


@attrs.frozen(kw_only=True, eq=False)
class Service:
    """State of the emulator.

    Attributes:
        calendar: The clock, and its dates.
        queued: Seconds for which background runs are queued.
        running: Seconds for which they are then in progress.
        visibility_delay: Seconds after its create for which a run is not found.
        poll_after: `Retry-After` of reads and lists with active runs, in seconds; None for no header.
        runs: The runs of each kind.
        files: The files.
        uploads: The pending and completed uploads.
        idempotency: The responses that are repeated for an idempotency key.
    """

    calendar: Calendar
    queued: float
    running: float
    poll_after: float | None
    visibility_delay: float
    runs: dict[RunKind, OrderedStore[Run]] = attrs.field(
        init=False, factory=lambda: {kind: OrderedStore() for kind in KINDS.values()}
    )
    files: FileStore = attrs.field(init=False, factory=FileStore)
    uploads: UploadStore = attrs.field(init=False, factory=UploadStore)
    idempotency: IdempotencyStore = attrs.field(init=False, factory=IdempotencyStore)
    _numbers: Iterator[int] = attrs.field(init=False, factory=count)

    def create_run(
        self,
        kind: RunKind,
        request: dict[str, Any],
        timeline: RunTimeline,
        *,
        error: Mapping[str, Any] | None = None,
        status_names: Mapping[str, str] | None = None,
    ) -> Run:
        """Create a run for a validated request; rejects documents that cannot be loaded."""
        date = self.calendar.date(timeline.created_at)
        documents = kind.load_documents(request, DocumentLoader(self.files, timeline, date))
        for document in documents.values():
            self.files.add(document.file)
        run = Run(
            id=f"{kind.prefix}_{secrets.token_hex(10)}",
            sequence=next(self._numbers),
            request={name: value for name, value in request.items() if name not in DROPPED_FIELDS},
            documents=documents,
            created_at=date,
            timeline=timeline,
            status_names=kind.resolve_status_names(status_names or {}),
            error=error,
        )
        self.runs[kind].add(run)
        return run

    def seed_run(
        self, kind: RunKind, timeline: RunTimeline, *, error: Mapping[str, Any] | None, status_names: Mapping[str, str]
    ) -> Run:
        """Create a run for the sample request of its kind."""
        if kind.sample_file:
            date = self.calendar.date(timeline.created_at)
            mime_type = guess_media_type(SAMPLE_NAME)
            sample = File(
                id=kind.sample_file, filename=SAMPLE_NAME, mime_type=mime_type, size=0, sha256="", created_at=date
            )
            self.files.add(sample)
        request = parse_body(kind.fields, {**kind.sample, "background": True})
        return self.create_run(kind, request, timeline, error=error, status_names=status_names)

    def find_run(self, run_id: str) -> Run | None:
        """Return the run of any kind with an id."""
        return next(filter(None, (runs.find(run_id) for runs in self.runs.values())), None)

    def active_runs(self) -> list[str]:
        """Return the ids of the runs that are not terminal, oldest first."""
        now = self.calendar.now()
        active = (run for runs in self.runs.values() for run in runs if run.timeline.phase(now) not in TERMINAL)
        return [run.id for run in sorted(active, key=lambda run: run.sequence)]


@attrs.frozen(kw_only=True)
class SeedOptions:
    """Properties of seeded runs; see `Emulator.seed`."""

    queued: float
    running: float
    status: str | None
    error: Mapping[str, Any] | None
    awaiting_review: bool
    cancel_delay: float
    status_names: Mapping[str, str]

    def create_runs(self, service: Service, kind_name: str, count: int) -> list[str]:
        """Create the runs and return their ids; ValueError if runs of the kind cannot be so."""
        kind = self._validated_kind(kind_name)
        now = service.calendar.now()
        error = DEFAULT_ERROR if self.error is None and self._timeline(kind, now).fails else self.error
        return [
            service.seed_run(kind, self._timeline(kind, now), error=error, status_names=self.status_names).id
            for _ in range(count)
        ]

    def _validated_kind(self, name: str) -> RunKind:
        kind = KINDS.get(name.replace(".", "/"))
        if kind is None:
            near = get_close_matches(name, KINDS, n=1, cutoff=0.0)
            msg = f"no such kind of run: {name!r}; did you mean {near[0]!r}? Kinds: {', '.join(sorted(KINDS))}"
            raise ValueError(msg)
        if self.awaiting_review and not kind.can_pause:
            msg = f"{kind.name} never await review"
            raise ValueError(msg)
        if self.awaiting_review and self.error is not None:
            msg = "runs that await review do not fail: pass awaiting_review or error, not both"
            raise ValueError(msg)
        return kind

    def _timeline(self, kind: RunKind, now: float) -> RunTimeline:
        if self.status is not None:
            phase = kind.phase_of(self.status)
            if self.error is not None and phase != "failed":
                msg = f"only failed runs have an error, not {self.status} ones"
                raise ValueError(msg)
            return RunTimeline.fixed(phase, now, cancel_delay=self.cancel_delay)
        return RunTimeline(
            created_at=now,
            queued=self.queued,
            running=self.running,
            fails=self.error is not None,
            awaits_review=self.awaiting_review,
            cancel_delay=self.cancel_delay,
        )
