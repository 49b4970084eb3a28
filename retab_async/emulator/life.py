"""The life of a run, worked out from a clock whenever somebody asks; nothing runs in between."""

import attrs

OVER = ("completed", "failed", "cancelled")
STATUSES = ("pending", "queued", "in_progress", *OVER)


@attrs.define(kw_only=True)
class Life:
    """How long a run waits and works, and when it was told to stop; times are those of the emulator's clock."""

    created: float
    queued: float = 0.0
    running: float = 0.0
    fails: bool = False
    cancelled_at: float | None = None

    def status(self, now: float) -> str:
        """Give the status at `now`: a cancel counts only if it came before the end."""
        whole = self.queued + self.running
        if self.cancelled_at is not None and self.cancelled_at - self.created < whole:
            return "cancelled"
        age = now - self.created
        if age < self.queued:
            return "queued"
        if age < whole:
            return "in_progress"
        return "failed" if self.fails else "completed"

    def cancel(self, now: float) -> None:
        """Stop the run; one that is over, or stopped before, stays as it is."""
        if self.cancelled_at is None:
            self.cancelled_at = now
