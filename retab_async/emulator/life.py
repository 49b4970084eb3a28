"""The life of a run, worked out from a clock whenever somebody asks; nothing runs in between."""

import attrs

STATUSES = ("pending", "queued", "in_progress", "completed", "failed", "cancelled")


class ManualClock:
    """A clock that stands still until a test turns it: `Emulator(clock=ManualClock())`."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Tell the time, which was 0 at first."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`; a negative number raises ValueError, for time does not run backwards."""
        if seconds < 0:
            msg = f"a clock cannot go back: {seconds}"
            raise ValueError(msg)
        self._now += seconds


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
