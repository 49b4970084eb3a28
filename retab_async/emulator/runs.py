"""State of a run of any kind."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from retab_async.emulator.clocks import rfc_3339
from retab_async.emulator.documents import AttachedDocument
from retab_async.emulator.run_timeline import RunTimeline

# Key of the document of a run that has only one.
ONLY_DOCUMENT = 0


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """Run of any kind.

    Attributes:
        id: The id.
        sequence: Ascending number in the order of creation, over all kinds.
        request: The fields of its create request.
        documents: The documents, by index or block id.
        created_at: The date of its creation.
        timeline: Its phases over time.
        status_names: The names under which its phases are shown.
        error: The error that it fails with.
    """

    id: str
    sequence: int
    request: Mapping[str, Any]
    documents: Mapping[str | int, AttachedDocument]
    created_at: datetime
    timeline: RunTimeline
    status_names: Mapping[str, str]
    error: Mapping[str, Any] | None

    @property
    def document(self) -> AttachedDocument:
        """The document of a run that has only one."""
        return self.documents[ONLY_DOCUMENT]

    def is_visible(self, now: float) -> bool:
        """Return whether the run is found by its id and listed."""
        return now >= self.timeline.visible_at

    def status(self, now: float) -> str:
        """Return the status as it is shown."""
        phase = self.timeline.phase(now)
        return self.status_names.get(phase, phase)

    def format_time(self, moment: float | None) -> str | None:
        """Format the date of a time of the clock."""
        if moment is None:
            return None
        return rfc_3339(self.created_at + timedelta(seconds=moment - self.timeline.created_at))
