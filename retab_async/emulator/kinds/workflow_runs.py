"""Workflow runs: always in the background, and possibly awaiting a review."""

from typing import Any

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.filters import DURATIONS, METADATA, SEARCH, TRIGGER, equals, sort_order, status_filters
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import TRIGGER_AND_DATES, lifecycle, timing, version_of
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import TERMINAL
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_object, any_str, map_of, non_blank_str

DEFAULT_ERROR = {
    "message": "The run failed.",
    "stage": None,
    "category": None,
    "details": None,
    "failing_step_id": None,
}
# The list accepts some statuses that no run has.
LIST_STATUSES = ("pending", "queued", "running", "completed", "error", "failed", "awaiting_review", "cancelled")


def _load_documents(request: dict[str, Any], intake: DocumentLoader) -> dict[str | int, AttachedDocument]:
    return {
        block: intake.load(document, ("body", "documents", block)) for block, document in request["documents"].items()
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    request = run.request
    return {
        "id": run.id,
        "workflow_id": request["workflow_id"],
        "workflow_version_id": version_of(request["workflow_id"], request["version"]),
        "trigger": {"type": TRIGGER},
        "lifecycle": lifecycle(run, now, DEFAULT_ERROR),
        "timing": timing(run, now),
        "inputs": {
            "documents": {block: attached.view() for block, attached in run.documents.items()},
            "json_data": request["json_inputs"],
        },
        "metadata": request["metadata"],
    }


def _cancel_view(run: Run, before: str, now: float) -> dict[str, Any]:
    if before in TERMINAL:
        answer = "cancellation_failed"
    else:
        answer = "cancelled" if run.timeline.phase(now) == "cancelled" else "cancellation_requested"
    return {"run": _view(run, now), "cancellation_status": answer, "redis_available": True}


WORKFLOW_RUNS = RunKind(
    name="workflows/runs",
    title="Workflow run",
    prefix="run",
    fields=(
        Field("workflow_id", non_blank_str, required=True),
        Field("documents", map_of(common.MIME_DATA), default={}),
        Field("json_inputs", any_object, default={}),
        Field("version", non_blank_str, default="production"),
        Field("metadata", map_of(any_str)),
        common.SOURCES,
    ),
    load_documents=_load_documents,
    sample={"workflow_id": "wrk_sample", "documents": {"start_document-1": common.SAMPLE_DOCUMENT}},
    view=_view,
    status_names={"queued": "pending", "in_progress": "running", "failed": "error"},
    can_pause=True,
    listing=ListSpec(
        filters=(
            equals("workflow_id", lambda run: run.request["workflow_id"]),
            *status_filters(*LIST_STATUSES),
            *TRIGGER_AND_DATES,
            *DURATIONS,
            SEARCH,
            METADATA,
            sort_order("timing.created_at"),
        ),
        limit=20,
    ),
    deletable=True,
    cancel_view=_cancel_view,
    has_command_id=True,
)
