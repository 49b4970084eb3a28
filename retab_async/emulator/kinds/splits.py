"""Splits: a document cut into the subdocuments request for."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import consensus, document_run_listing, document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_str, boolean, list_of, non_blank_str, object_of

SUBDOCUMENT = object_of(
    Field("name", non_blank_str, required=True),
    Field("description", any_str, default=""),
    Field("allow_multiple_instances", boolean, default=False),
)


def _results(run: Run) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    page = 1
    for part in run.request["subdocuments"]:
        for length in (2, 1) if part["allow_multiple_instances"] else (2,):
            output.append({"name": part["name"], "pages": list(range(page, page + length)), "regions": []})
            page += length
    votes = run.request["n_consensus"]
    likelihoods = [{"name": 1.0, "pages": [1.0] * len(result["pages"])} for result in output]
    return {"output": output, "consensus": consensus(output, votes, likelihoods), "usage": usage(page - 1, votes)}


SPLITS = RunKind(
    name="splits",
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
    load_documents=common.load_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "subdocuments": [{"name": "invoice", "allow_multiple_instances": True}, {"name": "receipt"}],
    },
    view=document_run_view(
        ("model", "n_consensus", "subdocuments", "instructions"),
        {"output": [], "consensus": None, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=document_run_listing(),
    deletable=True,
)
