"""A run as the emulator keeps it, the two ways in which it is shown, and the runs of one kind in their order."""

import secrets
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any

import attrs

from retab_async.emulator.clocks import rfc_3339
from retab_async.emulator.documents import Received
from retab_async.emulator.files import File
from retab_async.emulator.kinds import Kind
from retab_async.emulator.life import Life

NOT_ECHOED = frozenset({"document", "bust_cache", "background"})
ORDER = attrgetter("number")


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run: what was asked and is echoed, what came as its document, when it was made, and its life."""

    id: str
    # Later runs have higher ones, whatever their kind.
    number: int
    kind: Kind
    asked: dict[str, Any]
    file: dict[str, str]
    received: Received
    created_at: datetime
    life: Life
    error: dict[str, Any] | None = None

    @classmethod
    def of(  # noqa: PLR0913 - what a run is made of
        cls,
        kind: Kind,
        asked: dict[str, Any],
        file: File,
        *,
        number: int,
        life: Life,
        created_at: datetime,
        error: dict[str, Any] | None = None,
    ) -> "Run":
        """Make a run with an id of its own on `file`; with an `error` it ends `failed`."""
        filename = asked["document"]["filename"]
        return cls(
            id=f"{kind.prefix}_{secrets.token_hex(10)}",
            number=number,
            kind=kind,
            # The document itself is let go: it may be large, and nothing shows it again.
            asked={name: value for name, value in asked.items() if name not in NOT_ECHOED},
            file={"id": file.id, "filename": filename, "mime_type": file.mime_type},
            received=Received(filename, file.mime_type, file.size, file.sha256),
            created_at=created_at,
            life=life,
            error=error,
        )

    def brief(self, now: float) -> dict[str, Any]:
        """Show the status alone: what `include_output=false` answers."""
        status = self.life.status(now)
        return {"id": self.id, "status": status, "error": self.error if status == "failed" else None}

    def full(self, now: float) -> dict[str, Any]:
        """Show everything: results, votes and usage are there once the run has completed, and empty before."""
        view = {
            **self.brief(now),
            "file": self.file,
            **self.asked,
            "output": [],
            "consensus": None,
            "usage": None,
            "created_at": rfc_3339(self.created_at),
        }
        if view["status"] == "completed":
            view.update(_results(self.kind, self.asked))
        return view


class Runs:
    """The runs of one kind by their ids, and from the oldest to the newest."""

    def __init__(self) -> None:
        self._by_id: dict[str, Run] = {}
        self._ordered: list[Run] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._ordered)

    def add(self, run: Run) -> None:
        """Put in the newest run."""
        self._by_id[run.id] = run
        self._ordered.append(run)

    def find(self, run_id: str) -> Run | None:
        """Find a run by its id."""
        return self._by_id.get(run_id)

    def place(self, run: Run) -> int:
        """Tell how many runs are older than `run`."""
        return bisect_left(self._ordered, run.number, key=ORDER)

    def at(self, places: range) -> Iterator[Run]:
        """Give the runs at these places, the oldest being at 0."""
        return map(self._ordered.__getitem__, places)

    def remove(self, run: Run) -> None:
        """Forget `run`."""
        del self._ordered[self.place(run)]
        del self._by_id[run.id]


def _results(kind: Kind, asked: dict[str, Any]) -> dict[str, Any]:
    output = kind.invent(asked)
    votes = asked["n_consensus"]
    pages = max(page for result in output for page in result["pages"])
    return {
        "output": output,
        "consensus": _consensus(kind.label, output, votes) if votes > 1 else None,
        "usage": {"credits": float(pages * votes)},
    }


def _consensus(label: str, output: list[dict[str, Any]], votes: int) -> dict[str, Any]:
    # Everybody votes alike, so every likelihood is 1.
    return {
        "likelihoods": [{label: 1.0, "pages": [1.0] * len(result["pages"])} for result in output],
        "choices": [output] * votes,
    }
