"""What `retab-async splits create` is told."""

import click

from retab_async.cli.creating.document import file_argument
from retab_async.cli.creating.options import BUST_CACHE, INSTRUCTIONS, MODEL, votes
from retab_async.resources.splits import Subdocument


def subdocument_from(text: str) -> Subdocument:
    """Read a subdocument as it is typed: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Subdocument(name, description=description)


PARAMETERS = (
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
