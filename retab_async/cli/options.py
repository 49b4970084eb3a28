"""The parameters that several commands of a kind have."""

import click


def json_option() -> click.Option:
    """Return `--json`."""
    return click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line.")


def timeout_option() -> click.Option:
    """Return `--timeout`, None where it is not given."""
    seconds = click.FloatRange(min=0, min_open=True)
    return click.Option(["--timeout"], type=seconds, metavar="SECONDS", help="Wait no longer; by default an hour.")


def ids_argument() -> click.Argument:
    """Return `ID...`, of which there is at least one."""
    return click.Argument(["ids"], nargs=-1, required=True, metavar="ID...")
