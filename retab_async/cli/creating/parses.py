"""What `retab-async parses create` is told."""

import click

from retab_async.cli.creating.document import file_argument
from retab_async.cli.creating.options import BUST_CACHE, INSTRUCTIONS, MODEL

PARAMETERS = (
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
