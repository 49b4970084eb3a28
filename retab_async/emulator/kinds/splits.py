"""Splits: a document cut into the subdocuments asked for."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief, consensus, primitive, primitive_listing, usage
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_text, filled_text, flag, list_of, object_of

SUBDOCUMENT = object_of(
    Field("name", filled_text, required=True),
    Field("description", any_text, default=""),
    Field("allow_multiple_instances", flag, default=False),
)


def _invent(run: Run) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    page = 1
    for part in run.asked["subdocuments"]:
        for length in (2, 1) if part["allow_multiple_instances"] else (2,):
            output.append({"name": part["name"], "pages": list(range(page, page + length)), "regions": []})
            page += length
    votes = run.asked["n_consensus"]
    likelihoods = [{"name": 1.0, "pages": [1.0] * len(result["pages"])} for result in output]
    return {"output": output, "consensus": consensus(output, votes, likelihoods), "usage": usage(page - 1, votes)}


SPLITS = Kind(
    collection="splits",
    title="Split",
    prefix="splt",
    fields=(
        common.DOCUMENT,
        common.MODEL,
        common.votes(8),
        common.BUST_CACHE,
        common.BACKGROUND,
        Field("subdocuments", list_of(SUBDOCUMENT), required=True),
        common.INSTRUCTIONS,
    ),
    attach=common.attach_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "subdocuments": [{"name": "invoice", "allow_multiple_instances": True}, {"name": "receipt"}],
    },
    view=primitive(
        ("model", "n_consensus", "subdocuments", "instructions"),
        {"output": [], "consensus": None, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=primitive_listing(),
    deletable=True,
)
