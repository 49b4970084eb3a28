"""How runs are shown: the frame of the primitives, and what several kinds fill it with."""

from collections.abc import Callable, Mapping
from typing import Any

from retab_async.emulator.filters import DATES, FILENAME, STATUS
from retab_async.emulator.listing import Filter, Listing
from retab_async.emulator.runs import Run


def brief(run: Run, now: float) -> dict[str, Any]:
    """Show the status alone."""
    error = run.error if run.life.phase(now) == "failed" else None
    return {"id": run.id, "status": run.status(now), "error": error}


def primitive(
    echoed: tuple[str, ...], blank: Mapping[str, Any], invent: Callable[[Run], dict[str, Any]]
) -> Callable[[Run, float], dict[str, Any]]:
    """Show a run on one document, with what is echoed of its request; it has results once it has completed."""

    def view(run: Run, now: float) -> dict[str, Any]:
        return {
            **brief(run, now),
            "file": run.document.view(),
            **{name: run.asked[name] for name in echoed},
            **(invent(run) if run.life.phase(now) == "completed" else blank),
            "created_at": run.date(run.life.created),
        }

    return view


def primitive_listing(*filters: Filter[Run]) -> Listing[Run]:
    """Let a primitive be listed by what nearly all are listed by, and by these."""
    return Listing(filters=(FILENAME, STATUS, *DATES, *filters))


def usage(pages: int, votes: int = 1) -> dict[str, float]:
    """Charge for pages that were read by each of the votes."""
    return {"credits": float(pages * votes)}


def consensus(output: Any, votes: int, likelihoods: Any) -> dict[str, Any] | None:
    """Let everybody vote alike; who asks one alone has no votes to see."""
    return {"likelihoods": likelihoods, "choices": [output] * votes} if votes > 1 else None
