"""What `retab-async workflows experiments runs create` is told."""

import click

PARAMETERS = (
    click.Argument(["experiment_id"], metavar="EXPERIMENT_ID"),
    click.Option(["--workflow-id"], metavar="ID", help="The workflow; it must be the experiment's."),
    click.Option(["--plan-token"], metavar="TOKEN", help="Of the plan that the run is to go by, as a guard."),
)
