"""Classifications: the one of several categories that a document is of."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief, consensus, primitive, primitive_listing, usage
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_text, filled_text, list_of, object_of, whole_number

PAGES = 2
CATEGORY = object_of(
    Field("name", filled_text, required=True),
    Field("handle_key", any_text),
    Field("description", any_text, default=""),
)


def _invent(run: Run) -> dict[str, Any]:
    votes, first_pages = run.asked["n_consensus"], run.asked["first_n_pages"]
    category = run.asked["categories"][0]["name"]
    output = {"reasoning": f"{run.document.filename} reads like: {category}.", "category": category}
    return {
        "output": output,
        "consensus": consensus(output, votes, 1.0),
        "usage": usage(min(PAGES, first_pages or PAGES), votes),
    }


CLASSIFICATIONS = Kind(
    collection="classifications",
    title="Classification",
    prefix="clss",
    fields=(
        common.DOCUMENT,
        Field("categories", list_of(CATEGORY), required=True),
        common.MODEL,
        Field("first_n_pages", whole_number(1, common.ANY_NUMBER)),
        common.INSTRUCTIONS,
        common.votes(16),
        common.BUST_CACHE,
        common.BACKGROUND,
    ),
    attach=common.attach_document,
    sample={"document": common.SAMPLE_DOCUMENT, "categories": [{"name": "invoice"}, {"name": "contract"}]},
    view=primitive(
        ("model", "n_consensus", "categories", "instructions"),
        {"output": {"reasoning": "", "category": ""}, "consensus": None, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=primitive_listing(),
    deletable=True,
)
