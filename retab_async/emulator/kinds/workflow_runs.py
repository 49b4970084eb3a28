"""Workflow runs: always in the background, and sometimes waiting for a person."""

from typing import Any

from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.filters import DURATIONS, METADATA, SEARCH, TRIGGER, equals, sorted_by, statuses
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import STARTED_BY, lifecycle, timing, version_of
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_object, any_text, filled_text, map_of

TROUBLE = {"message": "The run failed.", "stage": None, "category": None, "details": None, "failing_step_id": None}
# More than a run can be: the list takes words that no answer has.
LISTED = ("pending", "queued", "running", "completed", "error", "failed", "awaiting_review", "cancelled")


def _attach(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    return {
        block: intake.document(document, ("body", "documents", block)) for block, document in asked["documents"].items()
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    asked = run.asked
    return {
        "id": run.id,
        "workflow_id": asked["workflow_id"],
        "workflow_version_id": version_of(asked["workflow_id"], asked["version"]),
        "trigger": {"type": TRIGGER},
        "lifecycle": lifecycle(run, now, TROUBLE),
        "timing": timing(run, now),
        "inputs": {
            "documents": {block: attached.view() for block, attached in run.attached.items()},
            "json_data": asked["json_inputs"],
        },
        "metadata": asked["metadata"],
    }


def _cancelled(run: Run, before: str, now: float) -> dict[str, Any]:
    if before in TERMINAL:
        answer = "cancellation_failed"
    else:
        answer = "cancelled" if run.life.phase(now) == "cancelled" else "cancellation_requested"
    return {"run": _view(run, now), "cancellation_status": answer, "redis_available": True}


WORKFLOW_RUNS = Kind(
    collection="workflows/runs",
    title="Workflow run",
    prefix="run",
    fields=(
        Field("workflow_id", filled_text, required=True),
        Field("documents", map_of(common.MIME_DATA), default={}),
        Field("json_inputs", any_object, default={}),
        Field("version", filled_text, default="production"),
        Field("metadata", map_of(any_text)),
        common.SOURCES,
    ),
    attach=_attach,
    sample={"workflow_id": "wrk_sample", "documents": {"start_document-1": common.SAMPLE_DOCUMENT}},
    view=_view,
    status_names={"queued": "pending", "in_progress": "running", "failed": "error"},
    can_pause=True,
    listing=ListSpec(
        filters=(
            equals("workflow_id", lambda run: run.asked["workflow_id"]),
            *statuses(*LISTED),
            *STARTED_BY,
            *DURATIONS,
            SEARCH,
            METADATA,
            sorted_by("timing.created_at"),
        ),
        limit=20,
    ),
    deletable=True,
    cancelled=_cancelled,
    has_command_id=True,
)
