"""Timeline of a run: its phase is a function of the clock, so nothing runs in the background."""

import math

import attrs

TERMINAL = ("completed", "failed", "cancelled")
# The phases of every kind; each kind has its own status names for them.
PHASES = ("queued", "in_progress", "awaiting_review", *TERMINAL)


@attrs.define(kw_only=True, eq=False)
class RunTimeline:
    """Timeline of a run, in seconds of the emulator's clock.

    Attributes:
        created_at: Time of its creation.
        queued: Seconds for which it is queued.
        running: Seconds for which it is then in progress.
        fails: Whether it fails at the end, instead of completing.
        awaits_review: Whether it waits for a review at the end, permanently.
        cancel_delay: Seconds after which a cancel takes effect.
        cancelled_at: Time at which the first cancel takes effect.
        visible_at: Time from which the API shows the run.
    """

    created_at: float
    queued: float = 0.0
    running: float = 0.0
    fails: bool = False
    awaits_review: bool = False
    cancel_delay: float = 0.0
    cancelled_at: float | None = None
    visible_at: float = -math.inf

    @classmethod
    def fixed(cls, phase: str, now: float, *, cancel_delay: float) -> "RunTimeline":
        """Make the timeline of a run that is in `phase` from `now` on, until it is cancelled."""
        return cls(
            created_at=now,
            queued=math.inf if phase in {"queued", "cancelled"} else 0.0,
            running=math.inf if phase == "in_progress" else 0.0,
            fails=phase == "failed",
            awaits_review=phase == "awaiting_review",
            cancel_delay=cancel_delay,
            cancelled_at=now if phase == "cancelled" else None,
        )

    def phase(self, now: float) -> str:
        """Return the phase at `now`; a cancel counts only if it takes effect before the end."""
        if self._is_cancelled(now):
            return "cancelled"
        age = now - self.created_at
        if age < self.queued:
            return "queued"
        if age < self.queued + self.running:
            return "in_progress"
        if self.awaits_review:
            return "awaiting_review"
        return "failed" if self.fails else "completed"

    def started_at(self, now: float) -> float | None:
        """Return when the run became in progress, if it has by `now`."""
        last = self.cancelled_at if self.cancelled_at is not None and self._is_cancelled(now) else now
        return self.created_at + self.queued if last - self.created_at >= self.queued else None

    def ended_at(self, now: float) -> float | None:
        """Return when the run became terminal, if it has by `now`."""
        phase = self.phase(now)
        if phase == "cancelled":
            return self.cancelled_at
        return self.created_at + self.queued + self.running if phase in TERMINAL else None

    def cancel(self, now: float) -> None:
        """Cancel the run; a terminal or already cancelled one stays as it is."""
        if self.cancelled_at is None:
            self.cancelled_at = now + self.cancel_delay

    def finish(self, now: float) -> None:
        """End the work now, if the run is in progress."""
        if self.phase(now) == "in_progress":
            self.running = now - self.created_at - self.queued

    def _is_cancelled(self, now: float) -> bool:
        whole = math.inf if self.awaits_review else self.queued + self.running
        return (
            self.cancelled_at is not None and self.cancelled_at <= now and self.cancelled_at - self.created_at < whole
        )
