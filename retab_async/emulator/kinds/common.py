"""How runs are shown: the frame of the primitives, and what several kinds fill it with."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.filters import DATES, FILENAME, STATUS, TRIGGER, TRIGGER_TYPE, duration_ms
from retab_async.emulator.listing import Filter, ListSpec
from retab_async.emulator.runs import ONLY, Run
from retab_async.emulator.validation import (
    Field,
    any_text,
    document_url,
    filled_text,
    flag,
    object_of,
    one_of,
    whole_number,
)


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


def primitive_listing(*filters: Filter[Run]) -> ListSpec[Run]:
    """Let a primitive be listed by what nearly all are listed by, and by these."""
    return ListSpec(filters=(FILENAME, STATUS, *DATES, *filters))


def usage(pages: int, votes: int = 1) -> dict[str, float]:
    """Charge for pages that were read by each of the votes."""
    return {"credits": float(pages * votes)}


def consensus(output: Any, votes: int, likelihoods: Any) -> dict[str, Any] | None:
    """Let everybody vote alike; who asks one alone has no votes to see."""
    return {"likelihoods": likelihoods, "choices": [output] * votes} if votes > 1 else None


MIME_DATA = object_of(Field("filename", filled_text, required=True), Field("url", document_url, required=True))
DOCUMENT = Field("document", MIME_DATA, required=True)
MODEL = Field("model", filled_text, default="retab-small")
INSTRUCTIONS = Field("instructions", any_text)
BUST_CACHE = Field("bust_cache", flag, default=False)
BACKGROUND = Field("background", flag, default=False)
SOURCES = Field("sources", object_of(Field("mode", one_of("located", "cited"), required=True)))
ANY_NUMBER = 2**31 - 1
SAMPLE_DOCUMENT = {"filename": "sample.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"}


def votes(most: int) -> Field:
    """Ask for so many votes at most."""
    return Field("n_consensus", whole_number(1, most), default=1)


def attach_document(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    """Take in the one document of a request."""
    return {ONLY: intake.document(asked["document"], ("body", "document"))}


BATCH_WORDS = {"in_progress": "running", "failed": "error"}
BATCH_STATUSES = ("pending", "queued", "running", "completed", "error", "cancelled")
# What an error of a batch shows of the one it was seeded with.
BATCH_TROUBLE = {"message": "(no message)", "details": None}
STARTED_BY = (TRIGGER_TYPE, *DATES)
REVIEW_BLOCK = "block_review"


def lifecycle(run: Run, now: float, trouble: Mapping[str, Any]) -> dict[str, Any]:
    """Show the status with what goes with it; `trouble` has the keys of an error, and what they are if not given."""
    phase = run.life.phase(now)
    extra: dict[str, Any] = {}
    if phase == "failed" and run.error is not None:
        extra = {name: run.error.get(name, usual) for name, usual in trouble.items()}
    elif phase == "cancelled":
        extra = {"reason": None}
    elif phase == "awaiting_review":
        extra = {"waiting_for_block_ids": [REVIEW_BLOCK]}
    return {"status": run.status(now), **extra}


def timing(run: Run, now: float) -> dict[str, Any]:
    """Show when the run was made, and when it worked."""
    life = run.life
    return {
        "created_at": run.date(life.created),
        "started_at": run.date(life.started(now)),
        "completed_at": run.date(life.ended(now)),
    }


def batch(run: Run, now: float) -> dict[str, Any]:
    """Show what eval runs and experiment runs have in common."""
    return {
        "id": run.id,
        "workflow_id": workflow_of(run),
        "workflow_version_id": version_of(workflow_of(run), "production"),
        "trigger": {"type": TRIGGER},
        "lifecycle": lifecycle(run, now, BATCH_TROUBLE),
        "timing": {**timing(run, now), "duration_ms": duration_ms(run, now)},
    }


def workflow_of(run: Run) -> str:
    """Name the workflow of a run that may not have been asked for by it."""
    return run.asked["workflow_id"] or f"wrk_{fingerprint(run.asked['experiment_id'])}"


def version_of(workflow_id: str, version: str) -> str:
    """Name the version of a workflow that `production`, `draft` or an id of its own means."""
    if version.startswith("ver_"):
        return version
    return f"{'draft' if version == 'draft' else 'ver'}_{fingerprint(workflow_id)}"


def fingerprint(text: str) -> str:
    """Make twelve digits that are always the same for a text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
