"""What `retab-async workflows evals runs create` is told."""

import click

PARAMETERS = (
    click.Argument(["workflow_id"], metavar="WORKFLOW_ID"),
    click.Option(["--eval-id"], metavar="ID", help="This saved eval alone; by default all of the workflow."),
    click.Option(["--block-id"], metavar="ID", help="The saved evals of this block alone."),
)
