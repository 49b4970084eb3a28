"""Parameters of `create` for each kind; their names are those of the arguments of the library's `create`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from retab_async.cli.document_param import FILENAME, file_argument, parse_document
from retab_async.cli.params import (
    BUST_CACHE,
    INSTRUCTIONS,
    MODEL,
    POSITIVE_INT,
    SOURCES,
    empty_to_none,
    key_value_option,
    metadata_option,
    n_consensus_option,
    parse_json,
    parse_json_object,
)
from retab_async.resources.classifications import Category
from retab_async.resources.edits import EditConfig
from retab_async.resources.splits import Subdocument


def parse_category(text: str) -> Category:
    """Parse a category: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Category(name, description=description)


_CLASSIFICATIONS = (
    file_argument(),
    FILENAME,
    click.Option(
        ["--category", "categories"],
        type=parse_category,
        multiple=True,
        required=True,
        metavar="NAME[=DESCRIPTION]",
        help="Allow this category; repeat it for each.",
    ),
    click.Option(
        ["--first-n-pages"], type=POSITIVE_INT, metavar="N", show_default="all", help="Read only the first N pages."
    ),
    INSTRUCTIONS,
    MODEL,
    n_consensus_option(16),
    BUST_CACHE,
)


_EDITS = (
    click.Argument(["document"], required=False, metavar="[FILE]", type=parse_document),
    FILENAME,
    click.Option(["--template-id"], metavar="ID", help="Fill in this template instead of a FILE."),
    click.Option(["--instructions"], required=True, metavar="TEXT", help="Tell the model what to fill in."),
    click.Option(
        ["--color", "config"],
        type=lambda color: EditConfig(color=color),
        metavar="#RRGGBB",
        show_default="a dark blue",
        help="Write in this colour.",
    ),
    MODEL,
    BUST_CACHE,
)


_EXTRACTIONS = (
    file_argument(),
    FILENAME,
    click.Option(
        ["--schema", "json_schema"],
        type=parse_json_object,
        required=True,
        metavar="PATH|JSON",
        help="Extract what this JSON Schema describes: the path of a file, or {...}.",
    ),
    metadata_option("Attach a text to find the run by; repeat it for each."),
    click.Option(
        ["--additional-message", "additional_messages"],
        type=parse_json,
        multiple=True,
        callback=empty_to_none,
        metavar="JSON",
        help="Add a chat message for the model, a JSON object; repeat it for each.",
    ),
    SOURCES,
    INSTRUCTIONS,
    MODEL,
    n_consensus_option(16),
    BUST_CACHE,
)


_FILE_BLUEPRINTS = (
    click.Argument(["file_id"], metavar="FILE_ID"),
    click.Option(["--intent"], metavar="TEXT", help="Tell the model the purpose of the blueprint."),
)


_PARSES = (
    file_argument(),
    FILENAME,
    click.Option(
        ["--table-parsing-format"],
        type=click.Choice(["markdown", "yaml", "html", "json"]),
        show_default="html",
        help="Write tables in this format.",
    ),
    INSTRUCTIONS,
    MODEL,
    BUST_CACHE,
)


_PARTITIONS = (
    file_argument(),
    FILENAME,
    click.Option(
        ["--key"], required=True, metavar="NAME", help="Group the pages by this key, such as an account number."
    ),
    click.Option(["--instructions"], required=True, metavar="TEXT", help="Tell the model which pages belong together."),
    click.Option(
        ["--allow-overlap/--no-allow-overlap"],
        default=None,
        show_default="allow-overlap",
        help="Allow a page to be in several chunks, or not.",
    ),
    MODEL,
    n_consensus_option(8),
    BUST_CACHE,
)


_SCHEMAS = (
    click.Argument(["documents"], nargs=-1, required=True, metavar="FILE...", type=parse_document),
    INSTRUCTIONS,
    MODEL,
)


def parse_subdocument(text: str) -> Subdocument:
    """Parse a subdocument: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Subdocument(name, description=description)


_SPLITS = (
    file_argument(),
    FILENAME,
    click.Option(
        ["--subdocument", "subdocuments"],
        type=parse_subdocument,
        multiple=True,
        required=True,
        metavar="NAME[=DESCRIPTION]",
        help="Look for this part; repeat it for each.",
    ),
    INSTRUCTIONS,
    MODEL,
    n_consensus_option(8),
    BUST_CACHE,
)


_WORKFLOW_EVAL_RUNS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    click.Option(["--eval-id"], metavar="ID", show_default="all of the workflow", help="Run only this saved eval."),
    click.Option(["--block-id"], metavar="ID", help="Run only the saved evals of this block."),
)


_WORKFLOW_EXPERIMENT_RUNS = (
    click.Argument(["experiment_id"], metavar="EXPERIMENT_ID"),
    click.Option(["--workflow-id"], metavar="ID", help="Check that the experiment belongs to this workflow."),
    click.Option(["--plan-token"], metavar="TOKEN", help="Run only if this is still the token of the plan."),
)


_WORKFLOW_RUNS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    key_value_option(
        ["--document", "documents"],
        "BLOCK=FILE",
        "Send FILE to the start block BLOCK; repeat it for each.",
        parse_document,
    ),
    key_value_option(
        ["--json-input", "json_inputs"],
        "BLOCK=JSON",
        "Send JSON to the start block BLOCK; repeat it for each.",
        parse_json,
    ),
    click.Option(
        ["--version"],
        metavar="VERSION",
        show_default="production",
        help="Run this version: production, draft, or an id.",
    ),
    metadata_option("Attach a text to find the run by; repeat it for each."),
    SOURCES,
)

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
