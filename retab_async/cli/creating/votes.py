"""The options of kinds whose results a model finds, and votes on."""

import click

OPTIONS = (
    click.Option(["--model"], metavar="NAME", help="The model; by default the service's small one."),
    click.Option(["--n-consensus"], type=click.IntRange(1, 8), help="Votes to take; by default one."),
    click.Option(["--bust-cache"], is_flag=True, help="Not from the service's cache."),
)
