"""Extractions: what a document says in the form of a JSON Schema, at once or as it is found."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from retab_async.emulator.answers import HTTPError, problem
from retab_async.emulator.filters import EXTRACTED
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import brief, consensus, primitive, primitive_listing, usage
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.kinds.schema_sample import fitting_object
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_object, any_text, filled_object, flag, list_of, map_of

PAGES = 3


def _agree(asked: dict[str, Any]) -> None:
    if not asked["stream"]:
        return
    if asked["background"]:
        raise HTTPError(422, [problem(("body", "background"), "Background runs are not streamed", "value_error")])
    if asked["deep_extraction"]:
        raise HTTPError(400, "Deep extractions are not streamed.")


def _output(run: Run) -> dict[str, Any]:
    return fitting_object(run.asked["json_schema"])


def _invent(run: Run) -> dict[str, Any]:
    output, votes = _output(run), run.asked["n_consensus"]
    return {
        "output": output,
        "consensus": consensus(output, votes, _certain(output)),
        "usage": usage(PAGES, votes),
    }


def _certain(value: Any) -> Any:
    # A tree in the form of the output.
    if isinstance(value, dict):
        return {name: _certain(entry) for name, entry in value.items()}
    return [_certain(entry) for entry in value] if isinstance(value, list) else 1.0


def _stages(run: Run) -> Iterator[dict[str, Any]]:
    # One field more each time, and never all: that is the complete run.
    output = _output(run)
    for known in range(max(1, len(output))):
        yield dict(islice(output.items(), known))


EXTRACTIONS = Kind(
    collection="extractions",
    title="Extraction",
    prefix="extr",
    fields=(
        common.DOCUMENT,
        Field("json_schema", filled_object, required=True),
        common.MODEL,
        common.INSTRUCTIONS,
        common.votes(16),
        Field("metadata", map_of(any_text)),
        Field("additional_messages", list_of(any_object, least=0)),
        common.BUST_CACHE,
        Field("stream", flag, default=False),
        common.BACKGROUND,
        Field("deep_extraction", flag),
        common.SOURCES,
    ),
    validate=_agree,
    attach=common.attach_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "json_schema": {
            "type": "object",
            "properties": {"number": {"type": "string"}, "total": {"type": "number"}},
            "required": ["number", "total"],
        },
    },
    view=primitive(
        ("model", "n_consensus", "json_schema", "instructions", "metadata"),
        {"output": {}, "consensus": None, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=primitive_listing(*EXTRACTED),
    deletable=True,
    stream_outputs=_stages,
)
