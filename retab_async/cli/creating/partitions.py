"""What `retab-async partitions create` is told."""

import click

from retab_async.cli.creating.document import file_argument
from retab_async.cli.creating.options import BUST_CACHE, MODEL, votes

PARAMETERS = (
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
