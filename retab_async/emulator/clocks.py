"""Clocks of the emulator: one that a test advances, and the dates that belong to any clock's times."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Clock that moves only when a test advances it, starting at 0.

    Example:
        Runs become terminal without real waiting::

            clock = ManualClock()
            async with Emulator(clock=clock, queued=5, running=60) as emulator:
                (run_id,) = emulator.seed("splits")
                clock.advance(65)
                assert emulator.active_runs() == []
    """

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Return the current time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Args:
            seconds: How far, 0 or more.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            msg = f"a clock cannot go back: {seconds}"
            raise ValueError(msg)
        self._now += seconds


class Calendar:
    """Maps the times of a clock to dates, so that dates follow a clock advanced by hand."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start_date, self._start_time = datetime.now(UTC), clock()

    def now(self) -> float:
        """Return the time of the clock."""
        return self._clock()

    def date(self, moment: float) -> datetime:
        """Return the date of a time of the clock."""
        return self._start_date + timedelta(seconds=moment - self._start_time)


def rfc_3339(date: datetime) -> str:
    """Format a date as the API does."""
    return date.isoformat().replace("+00:00", "Z")
