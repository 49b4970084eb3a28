"""What each kind asks for in its `create`: a kind more is a module and a line here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from retab_async.cli.document_param import document_from, file_argument
from retab_async.cli.params import (
    BUST_CACHE,
    INSTRUCTIONS,
    MODEL,
    SOURCES,
    json_from,
    json_object_from,
    key_value_option,
    metadata_option,
    none_for_none,
    votes,
)
from retab_async.resources.classifications import Category
from retab_async.resources.edits import EditConfig
from retab_async.resources.splits import Subdocument


def category_from(text: str) -> Category:
    """Read a category as it is typed: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Category(name, description=description)


_CLASSIFICATIONS = (
    file_argument(),
    click.Option(
        ["--category", "categories"],
        type=category_from,
        multiple=True,
        required=True,
        metavar="NAME[=DESCRIPTION]",
        help="What the document may be; give it once for each.",
    ),
    click.Option(
        ["--first-n-pages"], type=click.IntRange(min=1), metavar="COUNT", help="Pages to look at; by default all."
    ),
    INSTRUCTIONS,
    MODEL,
    votes(16),
    BUST_CACHE,
)


_EDITS = (
    click.Argument(["document"], required=False, metavar="[FILE]", type=document_from),
    click.Option(["--template-id"], metavar="ID", help="The template to fill in, where no FILE is given."),
    click.Option(["--instructions"], required=True, metavar="TEXT", help="What is to be filled in."),
    click.Option(
        ["--color", "config"],
        type=lambda color: EditConfig(color=color),
        metavar="#RRGGBB",
        help="The colour of what is filled in; by default a dark blue.",
    ),
    MODEL,
    BUST_CACHE,
)


_EXTRACTIONS = (
    file_argument(),
    click.Option(
        ["--schema", "json_schema"],
        type=json_object_from,
        required=True,
        metavar="PATH|JSON",
        help="The JSON Schema of what to look for: in a file, or {...} as it is.",
    ),
    metadata_option("A text of yours, to find the run by; give it once for each."),
    click.Option(
        ["--additional-message", "additional_messages"],
        type=json_from,
        multiple=True,
        callback=none_for_none,
        metavar="JSON",
        help="A message of the chat with the model, an object; give it once for each.",
    ),
    SOURCES,
    INSTRUCTIONS,
    MODEL,
    votes(16),
    BUST_CACHE,
)


_FILE_BLUEPRINTS = (
    click.Argument(["file_id"], metavar="FILE_ID"),
    click.Option(["--intent"], metavar="TEXT", help="What the blueprint is for."),
)


_PARSES = (
    file_argument(),
    click.Option(
        ["--table-parsing-format"],
        type=click.Choice(["markdown", "yaml", "html", "json"]),
        help="How tables are written; by default as html.",
    ),
    INSTRUCTIONS,
    MODEL,
    BUST_CACHE,
)


_PARTITIONS = (
    file_argument(),
    click.Option(["--key"], required=True, metavar="NAME", help="What the pages are grouped by."),
    click.Option(["--instructions"], required=True, metavar="TEXT", help="How to tell what belongs together."),
    click.Option(
        ["--allow-overlap/--no-allow-overlap"], default=None, help="Whether a page may be in several chunks; it may."
    ),
    MODEL,
    votes(8),
    BUST_CACHE,
)


_SCHEMAS = (
    click.Argument(["documents"], nargs=-1, required=True, metavar="FILE...", type=document_from),
    INSTRUCTIONS,
    MODEL,
)


def subdocument_from(text: str) -> Subdocument:
    """Read a subdocument as it is typed: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Subdocument(name, description=description)


_SPLITS = (
    file_argument(),
    click.Option(
        ["--subdocument", "subdocuments"],
        type=subdocument_from,
        multiple=True,
        required=True,
        metavar="NAME[=DESCRIPTION]",
        help="A part to look for; give it once for each.",
    ),
    INSTRUCTIONS,
    MODEL,
    votes(8),
    BUST_CACHE,
)


_WORKFLOW_EVAL_RUNS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    click.Option(["--eval-id"], metavar="ID", help="This saved eval alone; by default all of the workflow."),
    click.Option(["--block-id"], metavar="ID", help="The saved evals of this block alone."),
)


_WORKFLOW_EXPERIMENT_RUNS = (
    click.Argument(["experiment_id"], metavar="EXPERIMENT_ID"),
    click.Option(["--workflow-id"], metavar="ID", help="The workflow; it must be the experiment's."),
    click.Option(["--plan-token"], metavar="TOKEN", help="Of the plan that the run is to go by, as a guard."),
)


_WORKFLOW_RUNS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    key_value_option(
        ["--document", "documents"],
        "BLOCK=FILE",
        "A document, and the id of its start block; give it once for each.",
        document_from,
    ),
    key_value_option(
        ["--json-input", "json_inputs"],
        "BLOCK=JSON",
        "What a start block of JSON is given; give it once for each.",
        json_from,
    ),
    click.Option(["--version"], metavar="VERSION", help="production, the default, draft, or the id of one."),
    metadata_option("A text of yours, to find the run by; give it once for each."),
    SOURCES,
)

# The names of a kind's parameters are those of the arguments that its `create` and its `running` take.
PARAMETERS: Mapping[str, Sequence[click.Parameter]] = MappingProxyType(
    {
        "splits": _SPLITS,
        "partitions": _PARTITIONS,
        "classifications": _CLASSIFICATIONS,
        "extractions": _EXTRACTIONS,
        "parses": _PARSES,
        "edits": _EDITS,
        "schemas": _SCHEMAS,
        "files.blueprints": _FILE_BLUEPRINTS,
        "workflows.runs": _WORKFLOW_RUNS,
        "workflows.evals.runs": _WORKFLOW_EVAL_RUNS,
        "workflows.experiments.runs": _WORKFLOW_EXPERIMENT_RUNS,
    }
)
