"""What `retab-async schemas create` is told."""

import click

from retab_async.cli.creating.document import document_from
from retab_async.cli.creating.options import INSTRUCTIONS, MODEL

PARAMETERS = (
    click.Argument(["documents"], nargs=-1, required=True, metavar="FILE...", type=document_from),
    INSTRUCTIONS,
    MODEL,
)
