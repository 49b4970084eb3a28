"""Edits: a form filled in, from a document or a template."""

from pathlib import PurePosixPath
from typing import Any

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.filters import equals
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import document_run_listing, document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.responses import HTTPError
from retab_async.emulator.runs import ONLY_DOCUMENT, Run
from retab_async.emulator.validation import Field, any_str, non_blank_str, object_of

CONFIG = {"color": "#000080"}
FILLED = "filled_document"
PAGES = 1
LINE_HEIGHT = 0.05
LINES_PER_PAGE = 16


def _validate(request: dict[str, Any]) -> None:
    if (request["document"] is None) == (request["template_id"] is None):
        raise HTTPError(400, "Give a document or a template_id, and not both.")


def _load_documents(request: dict[str, Any], intake: DocumentLoader) -> dict[str | int, AttachedDocument]:
    if request["document"] is None:
        form = intake.external(f"{request['template_id']}.pdf")
    else:
        form = intake.load(request["document"], ("body", "document"))
    path = PurePosixPath(form.filename)
    return {ONLY_DOCUMENT: form, FILLED: intake.pending_output(f"{path.stem}_filled{path.suffix}")}


def _results(run: Run) -> dict[str, Any]:
    filled = run.documents[FILLED]
    return {
        "output": {"form_data": _form(run.request["instructions"]), "filled_document": filled.file.mime_data()},
        "filled_document_ref": filled.view(),
        "usage": usage(PAGES),
    }


def _form(instructions: str) -> list[dict[str, Any]]:
    # Each line "name: value" fills a field; without any, the whole text fills a single one.
    lines = [line.partition(":") for line in instructions.splitlines()]
    pairs = [(key.strip(), value.strip()) for key, _, value in lines if key.strip() and value.strip()]
    fields = enumerate(pairs or [("answer", instructions.strip())])
    return [
        {
            "bbox": {"left": 0.1, "top": _top(index), "width": 0.4, "height": 0.03, "page": 1},
            "description": key,
            "type": "text",
            "key": "_".join(key.lower().split()),
            "value": value,
        }
        for index, (key, value) in fields
    ]


def _top(index: int) -> float:
    return round(LINE_HEIGHT * (1 + index % LINES_PER_PAGE), 2)


EDITS = RunKind(
    name="edits",
    title="Edit",
    prefix="edt",
    fields=(
        Field("instructions", non_blank_str, required=True),
        Field("document", common.MIME_DATA),
        Field("template_id", non_blank_str),
        common.MODEL,
        Field("config", object_of(Field("color", any_str, default=CONFIG["color"])), default=CONFIG),
        common.BUST_CACHE,
        common.BACKGROUND,
    ),
    validate=_validate,
    load_documents=_load_documents,
    sample={"document": common.SAMPLE_DOCUMENT, "instructions": "Name: A. Reyes\nCity: Lima"},
    view=document_run_view(
        ("model", "instructions", "config", "template_id"),
        {"output": None, "filled_document_ref": None, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=document_run_listing(equals("template_id", lambda run: run.request["template_id"])),
    deletable=True,
)
