"""What `retab-async files blueprints create` is told."""

import click

PARAMETERS = (
    click.Argument(["file_id"], metavar="FILE_ID"),
    click.Option(["--intent"], metavar="TEXT", help="What the blueprint is for."),
)
