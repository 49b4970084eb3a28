"""Time in the emulator: a clock to turn by hand, and the dates that go with any clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


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


class Calendar:
    """The dates of a clock's times, so that they follow a clock turned by hand."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # What the wall said when the clock said this.
        self._wall, self._then = datetime.now(UTC), clock()

    def now(self) -> float:
        """Tell the time of the clock."""
        return self._clock()

    def date(self, moment: float) -> datetime:
        """Give the date of a time of the clock."""
        return self._wall + timedelta(seconds=moment - self._then)


def rfc_3339(date: datetime) -> str:
    """Write a date of the calendar as the API does."""
    return date.isoformat().replace("+00:00", "Z")
