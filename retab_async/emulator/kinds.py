"""What differs between one kind of run and another: the request's fields, and a result to invent.

Nobody reads a document here. Results are made up from the request alone, so that they agree with it and with
themselves: its names, pages counted from 1, one likelihood a result and one number a page, credits for the pages read.
To add a kind, declare it and put it into `KINDS`.
"""

from collections.abc import Callable
from typing import Any

import attrs

from retab_async.emulator.checks import (
    Field,
    any_text,
    document_url,
    filled_text,
    flag,
    list_of,
    object_of,
    whole_number,
)

MAX_VOTES = 8
DOCUMENT = object_of(Field("filename", filled_text, required=True), Field("url", document_url, required=True))
SUBDOCUMENT = object_of(
    Field("name", filled_text, required=True),
    Field("description", any_text, default=""),
    Field("allow_multiple_instances", flag, default=False),
)
SHARED = (
    Field("document", DOCUMENT, required=True),
    Field("model", filled_text, default="retab-small"),
    Field("n_consensus", whole_number(1, MAX_VOTES), default=1),
    Field("bust_cache", flag, default=False),
    Field("background", flag, default=False),
)
SAMPLE_DOCUMENT = {"filename": "sample.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"}


@attrs.frozen(kw_only=True, eq=False)
class Kind:
    """A kind of run.

    `fields` are those of its create request beside the shared ones, and `sample` is the request that seeded runs have.
    `invent` makes the results for a request; `label` is the key of a result that is voted on beside its pages.
    """

    collection: str
    title: str
    prefix: str
    label: str
    fields: tuple[Field, ...]
    sample: dict[str, Any]
    invent: Callable[[dict[str, Any]], list[dict[str, Any]]]

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Every field of the create request."""
        return (*SHARED, *self.fields)


def _split(asked: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    page = 1
    for part in asked["subdocuments"]:
        for length in (2, 1) if part["allow_multiple_instances"] else (2,):
            results.append({"name": part["name"], "pages": list(range(page, page + length)), "regions": []})
            page += length
    return results


def _partition(asked: dict[str, Any]) -> list[dict[str, Any]]:
    second = [2, 3] if asked["allow_overlap"] else [3]
    return [{"key": f"{asked['key']} 1", "pages": [1, 2]}, {"key": f"{asked['key']} 2", "pages": second}]


SPLITS = Kind(
    collection="splits",
    title="Split",
    prefix="splt",
    label="name",
    fields=(Field("subdocuments", list_of(SUBDOCUMENT), required=True), Field("instructions", any_text)),
    sample={
        "document": SAMPLE_DOCUMENT,
        "subdocuments": [{"name": "invoice", "allow_multiple_instances": True}, {"name": "receipt"}],
    },
    invent=_split,
)

PARTITIONS = Kind(
    collection="partitions",
    title="Partition",
    prefix="prtn",
    label="key",
    fields=(
        Field("key", filled_text, required=True),
        Field("instructions", filled_text, required=True),
        Field("allow_overlap", flag, default=True),
    ),
    sample={"document": SAMPLE_DOCUMENT, "key": "account", "instructions": "One chunk for each account."},
    invent=_partition,
)

KINDS = {kind.collection: kind for kind in (SPLITS, PARTITIONS)}
