"""What became of each of several runs, in the words that the command prints."""

from typing import Any

import attrs

from retab_async.bulk import Disposition
from retab_async.converter import unstructure
from retab_async.models import Run

_FAILURES = frozenset(str(word) for word in Disposition if word.is_failure)


@attrs.frozen(kw_only=True)
class Outcome:
    """One id and what became of it.

    `kind`: the name of its collection, empty where that is not known. `disposition`: `deleted`, or the word of a
    `CancelOutcome`.
    """

    kind: str
    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether what was to be done may not have been."""
        return self.disposition in _FAILURES

    @property
    def status(self) -> str:
        """The run's status, or nothing where none is known."""
        return str(self.run.status) if self.run else ""

    def as_row(self, *, has_kind: bool = False) -> tuple[str, ...]:
        """Return it as a row for people: its id, its kind if that is wanted, disposition, status, reason."""
        kind = (self.kind,) if has_kind else ()
        return self.run_id, *kind, self.disposition, self.status, self.reason

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object, the run inside it as the API writes it."""
        return {
            "kind": self.kind or None,
            "id": self.run_id,
            "disposition": self.disposition,
            "run": unstructure(self.run) if self.run else None,
            "reason": self.reason or None,
        }
