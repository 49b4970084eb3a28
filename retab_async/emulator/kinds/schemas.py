"""Schema generations: a JSON Schema for documents like the ones given."""

from typing import Any

from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, list_of

PROPERTIES = {
    "title": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "total": {"type": "number"},
}


def _attach(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    return {
        place: intake.document(document, ("body", "documents", place))
        for place, document in enumerate(asked["documents"])
    }


def _invent(run: Run) -> dict[str, Any]:
    names = ", ".join(attached.filename for attached in run.attached.values())
    return {
        "type": "object",
        "description": run.asked["instructions"] or f"What there is in {names}.",
        "properties": PROPERTIES,
        "required": list(PROPERTIES),
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    return {
        "object": "schema",
        **brief(run, now),
        "strict": True,
        "json_schema": _invent(run) if run.life.phase(now) == "completed" else {},
        "created_at": run.date(run.life.created),
    }


SCHEMAS = Kind(
    collection="schemas",
    path="schemas/generate",
    title="Schema generation",
    prefix="sch",
    fields=(
        Field("documents", list_of(common.MIME_DATA), required=True),
        common.MODEL,
        common.INSTRUCTIONS,
        common.BACKGROUND,
    ),
    attach=_attach,
    sample={"documents": [common.SAMPLE_DOCUMENT]},
    # The API names no code for this one; a client has to take any 2xx.
    created=200,
    view=_view,
)
