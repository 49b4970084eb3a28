"""What `retab-async workflows runs create` is told."""

import click

from retab_async.cli.creating.document import document_from
from retab_async.cli.creating.json_texts import json_from
from retab_async.cli.creating.options import SOURCES
from retab_async.cli.pairs import metadata_option, pairs_option

PARAMETERS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    pairs_option(
        ["--document", "documents"],
        "BLOCK=FILE",
        "A document, and the id of its start block; give it once for each.",
        document_from,
    ),
    pairs_option(
        ["--json-input", "json_inputs"],
        "BLOCK=JSON",
        "What a start block of JSON is given; give it once for each.",
        json_from,
    ),
    click.Option(["--version"], metavar="VERSION", help="production, the default, draft, or the id of one."),
    metadata_option("A text of yours, to find the run by; give it once for each."),
    SOURCES,
)
