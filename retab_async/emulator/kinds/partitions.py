"""Partitions: a document cut into a chunk for each value of a key."""

from typing import Any

from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief, consensus, primitive, primitive_listing, usage
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, filled_text, flag

PAGES = 3


def _invent(run: Run) -> dict[str, Any]:
    key, votes = run.asked["key"], run.asked["n_consensus"]
    second = [2, 3] if run.asked["allow_overlap"] else [3]
    output = [{"key": f"{key} 1", "pages": [1, 2]}, {"key": f"{key} 2", "pages": second}]
    likelihoods = [{"key": 1.0, "pages": [1.0] * len(chunk["pages"])} for chunk in output]
    return {"output": output, "consensus": consensus(output, votes, likelihoods), "usage": usage(PAGES, votes)}


PARTITIONS = Kind(
    collection="partitions",
    title="Partition",
    prefix="prtn",
    fields=(
        common.DOCUMENT,
        common.MODEL,
        common.votes(8),
        common.BUST_CACHE,
        common.BACKGROUND,
        Field("key", filled_text, required=True),
        Field("instructions", filled_text, required=True),
        Field("allow_overlap", flag, default=True),
    ),
    attach=common.attach_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "key": "account",
        "instructions": "One chunk for each account.",
    },
    view=primitive(
        ("model", "n_consensus", "key", "instructions", "allow_overlap"),
        {"output": [], "consensus": None, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=primitive_listing(),
    deletable=True,
)
