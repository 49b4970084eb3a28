"""The life of a run, worked out from a clock whenever somebody asks; nothing runs in between."""

import math

import attrs

TERMINAL = ("completed", "failed", "cancelled")
# Every kind lives through these; what it calls them is its own affair.
PHASES = ("queued", "in_progress", "awaiting_review", *TERMINAL)


@attrs.define(kw_only=True, eq=False)
class RunTimeline:
    """How long a run waits and works, and when it was told to stop; times are those of the emulator's clock.

    One that `awaits_review` does so for good once its work is done. A cancel takes effect after `cancelling` seconds.
    """

    created: float
    queued: float = 0.0
    running: float = 0.0
    fails: bool = False
    awaits_review: bool = False
    cancelling: float = 0.0
    cancelled_at: float | None = None

    def phase(self, now: float) -> str:
        """Give the phase at `now`: a cancel counts only if it took effect before the end."""
        if self._cancelled(now):
            return "cancelled"
        age = now - self.created
        if age < self.queued:
            return "queued"
        if age < self.queued + self.running:
            return "in_progress"
        if self.awaits_review:
            return "awaiting_review"
        return "failed" if self.fails else "completed"

    def started(self, now: float) -> float | None:
        """Tell when the work began, if it has by `now`."""
        last = self.cancelled_at if self.cancelled_at is not None and self._cancelled(now) else now
        return self.created + self.queued if last - self.created >= self.queued else None

    def ended(self, now: float) -> float | None:
        """Tell when the run was over, if it is by `now`."""
        phase = self.phase(now)
        if phase == "cancelled":
            return self.cancelled_at
        return self.created + self.queued + self.running if phase in TERMINAL else None

    def cancel(self, now: float) -> None:
        """Stop the run; one that is over, or told to stop before, stays as it is."""
        if self.cancelled_at is None:
            self.cancelled_at = now + self.cancelling

    def finish(self, now: float) -> None:
        """Bring the work to its end, unless it is over."""
        if self.phase(now) == "in_progress":
            self.running = now - self.created - self.queued

    def _cancelled(self, now: float) -> bool:
        whole = math.inf if self.awaits_review else self.queued + self.running
        return self.cancelled_at is not None and self.cancelled_at <= now and self.cancelled_at - self.created < whole
