"""File blueprints: the make-up of a file that is there."""

from typing import Any

from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import ONLY, Run
from retab_async.emulator.validation import Field, any_text, filled_text, one_of

SAMPLE_FILE = "file_sample"


def _attach(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    return {ONLY: intake.stored(asked["file_id"])}


def _invent(run: Run) -> dict[str, Any]:
    return {
        "summary": run.asked["intent"] or f"What there is in {run.document.filename}.",
        "sections": [{"label": "beginning", "pages": [1]}, {"label": "end", "pages": [2]}],
    }


def _view(run: Run, now: float) -> dict[str, Any]:
    return {
        "object": "file.blueprint",
        **brief(run, now),
        "file": run.document.view(),
        "intent": run.asked["intent"],
        "mode": run.asked["mode"],
        "output": _invent(run) if run.life.phase(now) == "completed" else {},
        "created_at": run.date(run.life.created),
        "started_at": run.date(run.life.started(now)),
        "completed_at": run.date(run.life.ended(now)),
    }


BLUEPRINTS = Kind(
    collection="files/blueprints",
    title="File blueprint",
    prefix="fbp",
    fields=(
        Field("file_id", filled_text, required=True),
        Field("intent", any_text),
        Field("mode", one_of("instant", "reasoning")),
        common.BACKGROUND,
    ),
    attach=_attach,
    sample={"file_id": SAMPLE_FILE},
    sample_file=SAMPLE_FILE,
    view=_view,
    brief=brief,
)
