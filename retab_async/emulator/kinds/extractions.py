"""Extractions: the content of a document as JSON of a schema, whole or streamed."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from retab_async.emulator.filters import EXTRACTION_FILTERS
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import consensus, document_run_listing, document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.kinds.schema_sample import sample_object
from retab_async.emulator.responses import HTTPError, problem
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, any_object, any_str, boolean, list_of, map_of, non_empty_object

PAGES = 3


def _validate(request: dict[str, Any]) -> None:
    if not request["stream"]:
        return
    if request["background"]:
        raise HTTPError(422, [problem(("body", "background"), "Background runs are not streamed", "value_error")])
    if request["deep_extraction"]:
        raise HTTPError(400, "Deep extractions are not streamed.")


def _output(run: Run) -> dict[str, Any]:
    return sample_object(run.request["json_schema"])


def _results(run: Run) -> dict[str, Any]:
    output, votes = _output(run), run.request["n_consensus"]
    return {
        "output": output,
        "consensus": consensus(output, votes, _likelihoods(output)),
        "usage": usage(PAGES, votes),
    }


def _likelihoods(value: Any) -> Any:
    # A tree in the shape of the output.
    if isinstance(value, dict):
        return {name: _likelihoods(entry) for name, entry in value.items()}
    return [_likelihoods(entry) for entry in value] if isinstance(value, list) else 1.0


def _partial_outputs(run: Run) -> Iterator[dict[str, Any]]:
    # One more field each time, and never all: that is the completed run.
    output = _output(run)
    for known in range(max(1, len(output))):
        yield dict(islice(output.items(), known))


EXTRACTIONS = RunKind(
    name="extractions",
    title="Extraction",
    prefix="extr",
    fields=(
        common.DOCUMENT,
        Field("json_schema", non_empty_object, required=True),
        common.MODEL,
        common.INSTRUCTIONS,
        common.votes(16),
        Field("metadata", map_of(any_str)),
        Field("additional_messages", list_of(any_object, min_items=0)),
        common.BUST_CACHE,
        Field("stream", boolean, default=False),
        common.BACKGROUND,
        Field("deep_extraction", boolean),
        common.SOURCES,
    ),
    validate=_validate,
    load_documents=common.load_document,
    sample={
        "document": common.SAMPLE_DOCUMENT,
        "json_schema": {
            "type": "object",
            "properties": {"number": {"type": "string"}, "total": {"type": "number"}},
            "required": ["number", "total"],
        },
    },
    view=document_run_view(
        ("model", "n_consensus", "json_schema", "instructions", "metadata"),
        {"output": {}, "consensus": None, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=document_run_listing(*EXTRACTION_FILTERS),
    deletable=True,
    stream_outputs=_partial_outputs,
)
