"""What `retab-async classifications create` is told."""

import click

from retab_async.cli.creating.document import file_argument
from retab_async.cli.creating.options import BUST_CACHE, INSTRUCTIONS, MODEL, votes
from retab_async.resources.classifications import Category


def category_from(text: str) -> Category:
    """Read a category as it is typed: `NAME`, or `NAME=DESCRIPTION`."""
    name, _, description = text.partition("=")
    return Category(name, description=description)


PARAMETERS = (
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
