"""Experiment runs: one block of a workflow, run on the documents of an experiment."""

from typing import Any

from retab_async.emulator.filters import equals, sort_order, status_filters
from retab_async.emulator.kinds.common import (
    BATCH_STATUS_NAMES,
    BATCH_STATUSES,
    TRIGGER_AND_DATES,
    batch,
    fingerprint,
    workflow_of,
)
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, non_blank_str

DOCUMENTS = 2


def _block(run: Run) -> str:
    return f"block_{fingerprint(run.request['experiment_id'])}"


def _view(run: Run, now: float) -> dict[str, Any]:
    phase, experiment_id = run.timeline.phase(now), run.request["experiment_id"]
    return {
        **batch(run, now),
        "experiment_id": experiment_id,
        "block_id": _block(run),
        "block_type": "split",
        "n_consensus": 3,
        "parent_run_id": None,
        "block_version_id": None,
        "metrics_validity_fingerprint": None,
        "metrics_validity_fingerprint_version": None,
        "block_execution_fingerprint": fingerprint(f"{experiment_id} block"),
        "documents_fingerprint": fingerprint(f"{experiment_id} documents"),
        "score": 1.0 if phase == "completed" else None,
        "total_document_count": DOCUMENTS,
        "completed_document_count": DOCUMENTS if phase == "completed" else 0,
        "document_count": DOCUMENTS,
        "error_count": DOCUMENTS if phase == "failed" else 0,
    }


def _cancel_view(run: Run, _: str, now: float) -> dict[str, Any]:
    return {name: value for name, value in _view(run, now).items() if name in {"id", "lifecycle"}}


EXPERIMENT_RUNS = RunKind(
    name="workflows/experiments/runs",
    title="Experiment run",
    prefix="exprun",
    fields=(
        Field("experiment_id", non_blank_str, required=True),
        Field("workflow_id", non_blank_str),
        Field("plan_token", non_blank_str),
    ),
    sample={"experiment_id": "exp_sample", "workflow_id": "wrk_sample"},
    view=_view,
    status_names=BATCH_STATUS_NAMES,
    listing=ListSpec(
        filters=(
            equals("workflow_id", workflow_of),
            equals("experiment_id", lambda run: run.request["experiment_id"]),
            equals("block_id", _block),
            *status_filters(*BATCH_STATUSES),
            *TRIGGER_AND_DATES,
            sort_order("created_at"),
        ),
        limit=20,
    ),
    cancel_404_phases=("completed", "failed"),
    cancel_view=_cancel_view,
)
