"""A run as the emulator keeps it, whatever its kind."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from retab_async.emulator.clocks import rfc_3339
from retab_async.emulator.documents import Attached
from retab_async.emulator.run_timeline import RunTimeline

# Where the only document of a run is among those attached.
ONLY = 0


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run: what was asked, its documents, when it was made, and its life.

    `words` has the words for the phases of its life that are shown by another name than their own.
    """

    id: str
    # Later runs have higher ones, whatever their kind.
    number: int
    asked: Mapping[str, Any]
    attached: Mapping[str | int, Attached]
    created_at: datetime
    life: RunTimeline
    words: Mapping[str, str]
    error: Mapping[str, Any] | None

    @property
    def document(self) -> Attached:
        """The document of a run that has one only."""
        return self.attached[ONLY]

    def status(self, now: float) -> str:
        """Give the status as it is shown."""
        phase = self.life.phase(now)
        return self.words.get(phase, phase)

    def date(self, moment: float | None) -> str | None:
        """Write the date of a moment of the run's life."""
        if moment is None:
            return None
        return rfc_3339(self.created_at + timedelta(seconds=moment - self.life.created))
