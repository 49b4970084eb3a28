"""Splits: a document cut into the subdocuments asked for."""

from typing import Any

from retab_async.emulator.checks import Field, any_text, filled_text, flag, list_of, object_of
from retab_async.emulator.kinds import requests
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.kinds.views import brief, consensus, primitive, primitive_listing, usage
from retab_async.emulator.runs import Run

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
        requests.DOCUMENT,
        requests.MODEL,
        requests.votes(8),
        requests.BUST_CACHE,
        requests.BACKGROUND,
        Field("subdocuments", list_of(SUBDOCUMENT), required=True),
        requests.INSTRUCTIONS,
    ),
    attach=requests.attach_document,
    sample={
        "document": requests.SAMPLE_DOCUMENT,
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
