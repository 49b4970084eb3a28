"""Schema generations: a JSON Schema for documents like those in the request."""

from typing import Any

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import status_view
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, list_of

PROPERTIES = {
    "title": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "total": {"type": "number"},
}


def _load_documents(request: dict[str, Any], intake: DocumentLoader) -> dict[str | int, AttachedDocument]:
    return {
        place: intake.load(document, ("body", "documents", place))
        for place, document in enumerate(request["documents"])
    }


def _json_schema(run: Run) -> dict[str, Any]:
    names = ", ".join(attached.filename for attached in run.documents.values())
    return {
        "type": "object",
        "description": run.request["instructions"] or f"Contents of {names}.",
        "properties": PROPERTIES,
        "required": list(PROPERTIES),
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    return {
        "object": "schema",
        **status_view(run, now),
        "strict": True,
        "json_schema": _json_schema(run) if run.timeline.phase(now) == "completed" else {},
        "created_at": run.format_time(run.timeline.created_at),
    }


SCHEMAS = RunKind(
    name="schemas",
    path="schemas/generate",
    title="Schema generation",
    prefix="sch",
    fields=(
        Field("documents", list_of(common.MIME_DATA), required=True),
        common.MODEL,
        common.INSTRUCTIONS,
        common.BACKGROUND,
    ),
    load_documents=_load_documents,
    sample={"documents": [common.SAMPLE_DOCUMENT]},
    # The API documents no status here; a client has to accept any 2xx.
    created_status=200,
    view=_view,
)
