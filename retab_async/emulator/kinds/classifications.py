"""Classifications: the category of a document."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import consensus, document_run_listing, document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_str, bounded_int, list_of, non_blank_str, object_of

PAGES = 2
CATEGORY = object_of(
    Field("name", non_blank_str, required=True),
    Field("handle_key", any_str),
    Field("description", any_str, default=""),
)


def _results(run: Run) -> dict[str, Any]:
    votes, first_pages = run.request["n_consensus"], run.request["first_n_pages"]
    category = run.request["categories"][0]["name"]
    output = {"reasoning": f"{run.document.filename} reads like: {category}.", "category": category}
    return {
        "output": output,
        "consensus": consensus(output, votes, 1.0),
        "usage": usage(min(PAGES, first_pages or PAGES), votes),
    }


CLASSIFICATIONS = RunKind(
    name="classifications",
    title="Classification",
    prefix="clss",
    fields=(
        common.DOCUMENT,
        Field("categories", list_of(CATEGORY), required=True),
        common.MODEL,
        Field("first_n_pages", bounded_int(1, common.MAX_INT)),
        common.INSTRUCTIONS,
        common.votes(16),
        common.BUST_CACHE,
        common.BACKGROUND,
    ),
    load_documents=common.load_document,
    sample={"document": common.SAMPLE_DOCUMENT, "categories": [{"name": "invoice"}, {"name": "contract"}]},
    view=document_run_view(
        ("model", "n_consensus", "categories", "instructions"),
        {"output": {"reasoning": "", "category": ""}, "consensus": None, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=document_run_listing(),
    deletable=True,
)
