"""File blueprints: the structure of an existing file."""

from typing import Any

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import status_view
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.runs import ONLY_DOCUMENT, Run
from retab_async.emulator.validation import Field, any_str, non_blank_str, one_of

SAMPLE_FILE = "file_sample"


def _load_documents(request: dict[str, Any], intake: DocumentLoader) -> dict[str | int, AttachedDocument]:
    return {ONLY_DOCUMENT: intake.load_file(request["file_id"])}


def _output(run: Run) -> dict[str, Any]:
    return {
        "summary": run.request["intent"] or f"Contents of {run.document.filename}.",
        "sections": [{"label": "beginning", "pages": [1]}, {"label": "end", "pages": [2]}],
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    return {
        "object": "file.blueprint",
        **status_view(run, now),
        "file": run.document.view(),
        "intent": run.request["intent"],
        "mode": run.request["mode"],
        "output": _output(run) if run.timeline.phase(now) == "completed" else {},
        "created_at": run.format_time(run.timeline.created_at),
        "started_at": run.format_time(run.timeline.started_at(now)),
        "completed_at": run.format_time(run.timeline.ended_at(now)),
    }


BLUEPRINTS = RunKind(
    name="files/blueprints",
    title="File blueprint",
    prefix="fbp",
    fields=(
        Field("file_id", non_blank_str, required=True),
        Field("intent", any_str),
        Field("mode", one_of("instant", "reasoning")),
        common.BACKGROUND,
    ),
    load_documents=_load_documents,
    sample={"file_id": SAMPLE_FILE},
    sample_file=SAMPLE_FILE,
    view=_view,
    status_view=status_view,
)
