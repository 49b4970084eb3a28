"""How the runs of workflows show where they are: an object told by its status, and the times."""

import hashlib
from collections.abc import Mapping
from typing import Any

from retab_async.emulator.filters import DATES, TRIGGER, TRIGGER_TYPE, duration_ms
from retab_async.emulator.runs import Run

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
