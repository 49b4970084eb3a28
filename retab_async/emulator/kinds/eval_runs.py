"""Eval runs: the saved evals of a workflow, or some of them, tried again."""

from typing import Any

from retab_async.emulator.filters import equals, sorted_by, statuses
from retab_async.emulator.kinds.common import BATCH_STATUSES, BATCH_WORDS, STARTED_BY, batch, workflow_of
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, filled_text, tagged

EVALS = 2
SCOPE = tagged(
    single=(Field("eval_id", filled_text, required=True),),
    block=(Field("block_id", filled_text, required=True),),
    workflow=(),
)


def _scoped(run: Run, name: str) -> str | None:
    scope = run.asked["scope"] or {}
    value: str | None = scope.get(name)
    return value


def _view(run: Run, now: float) -> dict[str, Any]:
    eval_id, block_id = _scoped(run, "eval_id"), _scoped(run, "block_id")
    total = EVALS if eval_id is None else 1
    phase = run.life.phase(now)
    return {
        **batch(run, now),
        "target": None if block_id is None else {"type": "block", "block_id": block_id},
        "eval_id": eval_id,
        "total_evals": total,
        "counts": {
            # All of them are where the run is.
            "lifecycle_counts": dict.fromkeys(BATCH_STATUSES, 0) | {BATCH_WORDS.get(phase, phase): total},
            "outcome": {"passed": total if phase == "completed" else 0, "failed": 0, "blocked": 0},
        },
        "freshness": None,
    }


EVAL_RUNS = Kind(
    collection="workflows/evals/runs",
    title="Workflow eval run",
    prefix="wfevalrun",
    fields=(Field("workflow_id", filled_text, required=True), Field("scope", SCOPE)),
    sample={"workflow_id": "wrk_sample"},
    view=_view,
    status_names=BATCH_WORDS,
    listing=ListSpec(
        filters=(
            equals("workflow_id", workflow_of),
            equals("eval_id", lambda run: _scoped(run, "eval_id")),
            equals("target_block_id", lambda run: _scoped(run, "block_id")),
            *statuses(*BATCH_STATUSES),
            *STARTED_BY,
            sorted_by("created_at"),
        ),
        limit=20,
    ),
    cancel_404_phases=TERMINAL,
)
