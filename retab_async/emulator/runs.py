"""A run as the emulator keeps it, and the two ways in which it is shown."""

import mimetypes
import secrets
from datetime import datetime
from typing import Any

import attrs

from retab_async.emulator.kinds import Kind
from retab_async.emulator.life import Life

NOT_ECHOED = frozenset({"document", "bust_cache", "background"})


# Identity is enough, and comparing by value would make finding a cursor slow.
@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run: what was asked and is echoed, when it was made, and its life."""

    id: str
    kind: Kind
    asked: dict[str, Any]
    file: dict[str, str]
    created_at: datetime
    life: Life
    error: dict[str, Any] | None = None

    @classmethod
    def of(
        cls, kind: Kind, asked: dict[str, Any], *, life: Life, created_at: datetime, error: dict[str, Any] | None = None
    ) -> "Run":
        """Make a run with an id of its own; with an `error` it ends `failed`."""
        return cls(
            id=f"{kind.prefix}_{secrets.token_hex(10)}",
            kind=kind,
            # The document itself is let go: it may be large, and nothing shows it again.
            asked={name: value for name, value in asked.items() if name not in NOT_ECHOED},
            file=_file(asked["document"]),
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
            "created_at": self.created_at.isoformat().replace("+00:00", "Z"),
        }
        if view["status"] == "completed":
            view.update(_results(self.kind, self.asked))
        return view


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


def _file(document: dict[str, str]) -> dict[str, str]:
    head = document["url"].partition(",")[0].lower()
    declared = head.removeprefix("data:").partition(";")[0] if head.startswith("data:") else ""
    guessed = declared or mimetypes.guess_type(document["filename"])[0]
    return {
        "id": f"file_{secrets.token_hex(8)}",
        "filename": document["filename"],
        "mime_type": guessed or "application/octet-stream",
    }
