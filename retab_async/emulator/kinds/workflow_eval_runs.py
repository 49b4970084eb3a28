"""Eval runs: the saved evals of a workflow, or some of them, run again."""

from typing import Any

from retab_async.emulator.filters import equals, sort_order, status_filters
from retab_async.emulator.kinds.common import BATCH_STATUS_NAMES, BATCH_STATUSES, TRIGGER_AND_DATES, batch, workflow_of
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, non_blank_str, tagged

EVALS = 2
SCOPE = tagged(
    single=(Field("eval_id", non_blank_str, required=True),),
    block=(Field("block_id", non_blank_str, required=True),),
    workflow=(),
)


def _scope_field(run: Run, name: str) -> str | None:
    scope = run.request["scope"] or {}
    value: str | None = scope.get(name)
    return value


def _view(run: Run, now: float) -> dict[str, Any]:
    eval_id, block_id = _scope_field(run, "eval_id"), _scope_field(run, "block_id")
    total = EVALS if eval_id is None else 1
    phase = run.timeline.phase(now)
    return {
        **batch(run, now),
        "target": None if block_id is None else {"type": "block", "block_id": block_id},
        "eval_id": eval_id,
        "total_evals": total,
        "counts": {
            # All evals have the status of the run.
            "lifecycle_counts": dict.fromkeys(BATCH_STATUSES, 0) | {BATCH_STATUS_NAMES.get(phase, phase): total},
            "outcome": {"passed": total if phase == "completed" else 0, "failed": 0, "blocked": 0},
        },
        "freshness": None,
    }


EVAL_RUNS = RunKind(
    name="workflows/evals/runs",
    title="Workflow eval run",
    prefix="wfevalrun",
    fields=(Field("workflow_id", non_blank_str, required=True), Field("scope", SCOPE)),
    sample={"workflow_id": "wrk_sample"},
    view=_view,
    status_names=BATCH_STATUS_NAMES,
    listing=ListSpec(
        filters=(
            equals("workflow_id", workflow_of),
            equals("eval_id", lambda run: _scope_field(run, "eval_id")),
            equals("target_block_id", lambda run: _scope_field(run, "block_id")),
            *status_filters(*BATCH_STATUSES),
            *TRIGGER_AND_DATES,
            sort_order("created_at"),
        ),
        limit=20,
    ),
    cancel_404_phases=TERMINAL,
)
