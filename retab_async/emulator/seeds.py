"""Runs put in flight without a request, and what they may be told to become."""

from collections.abc import Mapping
from typing import Any

import attrs

from retab_async.emulator.kinds import KINDS, Kind
from retab_async.emulator.life import Life
from retab_async.emulator.service import Service


@attrs.frozen(kw_only=True)
class Seeds:
    """What seeded runs are to be like, as `Emulator.seed` has it."""

    queued: float
    running: float
    error: Mapping[str, Any] | None
    awaiting_review: bool
    cancelling: float
    status_words: Mapping[str, str]

    def sow(self, service: Service, collection: str, count: int) -> list[str]:
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
        if self.awaiting_review and not kind.pauses:
            msg = f"{collection} never await review"
            raise ValueError(msg)
        if self.awaiting_review and self.error is not None:
            msg = "runs that await review do not go on to fail: give awaiting_review or an error"
            raise ValueError(msg)
        return kind

    def _life(self, now: float) -> Life:
        return Life(
            created=now,
            queued=self.queued,
            running=self.running,
            fails=self.error is not None,
            awaits_review=self.awaiting_review,
            cancelling=self.cancelling,
        )
