"""The options that the creates of several kinds have."""

import click

MODEL = click.Option(["--model"], metavar="NAME", help="The model; by default the service's small one.")
INSTRUCTIONS = click.Option(["--instructions"], metavar="TEXT", help="What else there is to know.")
BUST_CACHE = click.Option(["--bust-cache"], is_flag=True, help="Not from the service's cache.")
SOURCES = click.Option(
    ["--sources"], type=click.Choice(["located", "cited"]), help="Tell where in the documents results come from."
)


def votes(most: int) -> click.Option:
    """Return `--n-consensus`, of so many at the most."""
    return click.Option(["--n-consensus"], type=click.IntRange(1, most), help="Votes to take; by default one.")
