"""What `retab-async extractions create` is told."""

import click

from retab_async.cli.creating.document import file_argument
from retab_async.cli.creating.json_texts import json_from, json_object_from
from retab_async.cli.creating.options import BUST_CACHE, INSTRUCTIONS, MODEL, SOURCES, votes
from retab_async.cli.pairs import metadata_option, none_for_none

PARAMETERS = (
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
