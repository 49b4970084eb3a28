"""What `retab-async edits create` is told."""

import click

from retab_async.cli.creating.document import document_from
from retab_async.cli.creating.options import BUST_CACHE, MODEL
from retab_async.resources.edits import EditConfig

PARAMETERS = (
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
