"""Partitions: a document cut into a chunk for each value of a key."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import consensus, document_run_listing, document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, boolean, non_blank_str

PAGES = 3


def _results(run: Run) -> dict[str, Any]:
    key, votes = run.request["key"], run.request["n_consensus"]
    second = [2, 3] if run.request["allow_overlap"] else [3]
    output = [{"key": f"{key} 1", "pages": [1, 2]}, {"key": f"{key} 2", "pages": second}]
    likelihoods = [{"key": 1.0, "pages": [1.0] * len(chunk["pages"])} for chunk in output]
    return {"output": output, "consensus": consensus(output, votes, likelihoods), "usage": usage(PAGES, votes)}


PARTITIONS = RunKind(
    name="partitions",
    title="Partition",
    prefix="prtn",
    fields=(
        common.DOCUMENT,
        common.MODEL,
        common.votes(8),
        common.BUST_CACHE,
        common.BACKGROUND,
        Field("key", non_blank_str, required=True),
        Field("instructions", non_blank_str, required=True),
        Field("allow_overlap", boolean, default=True),
    ),
    load_documents=common.load_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "key": "account",
        "instructions": "One chunk for each account.",
    },
    view=document_run_view(
        ("model", "n_consensus", "key", "instructions", "allow_overlap"),
        {"output": [], "consensus": None, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=document_run_listing(),
    deletable=True,
)
