"""Edits: a form filled in, from a document or a template."""

from pathlib import PurePosixPath
from typing import Any

from retab_async.emulator.answers import HTTPError
from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.filters import equals
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief, primitive, primitive_listing, usage
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import ONLY, Run
from retab_async.emulator.validation import Field, any_text, filled_text, object_of

CONFIG = {"color": "#000080"}
FILLED = "filled_document"
PAGES = 1
LINE = 0.05
LINES = 16


def _agree(asked: dict[str, Any]) -> None:
    if (asked["document"] is None) == (asked["template_id"] is None):
        raise HTTPError(400, "Give a document or a template_id, and not both.")


def _attach(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    if asked["document"] is None:
        form = intake.elsewhere(f"{asked['template_id']}.pdf")
    else:
        form = intake.document(asked["document"], ("body", "document"))
    path = PurePosixPath(form.filename)
    return {ONLY: form, FILLED: intake.to_come(f"{path.stem}_filled{path.suffix}")}


def _invent(run: Run) -> dict[str, Any]:
    filled = run.attached[FILLED]
    return {
        "output": {"form_data": _form(run.asked["instructions"]), "filled_document": filled.file.mime_data()},
        "filled_document_ref": filled.view(),
        "usage": usage(PAGES),
    }


def _form(instructions: str) -> list[dict[str, Any]]:
    # A line that reads like "name: value" fills a field, and anything else the one field that there is then.
    lines = [line.partition(":") for line in instructions.splitlines()]
    told = [(key.strip(), value.strip()) for key, _, value in lines if key.strip() and value.strip()]
    fields = enumerate(told or [("answer", instructions.strip())])
    return [
        {
            "bbox": {"left": 0.1, "top": round(LINE * (1 + place % LINES), 2), "width": 0.4, "height": 0.03, "page": 1},
            "description": key,
            "type": "text",
            "key": "_".join(key.lower().split()),
            "value": value,
        }
        for place, (key, value) in fields
    ]


EDITS = Kind(
    collection="edits",
    title="Edit",
    prefix="edt",
    fields=(
        Field("instructions", filled_text, required=True),
        Field("document", common.MIME_DATA),
        Field("template_id", filled_text),
        common.MODEL,
        Field("config", object_of(Field("color", any_text, default=CONFIG["color"])), default=CONFIG),
        common.BUST_CACHE,
        common.BACKGROUND,
    ),
    validate=_agree,
    attach=_attach,
    sample={"document": common.SAMPLE_DOCUMENT, "instructions": "Name: A. Reyes\nCity: Lima"},
    view=primitive(
        ("model", "instructions", "config", "template_id"),
        {"output": None, "filled_document_ref": None, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=primitive_listing(equals("template_id", lambda run: run.asked["template_id"])),
    deletable=True,
)
