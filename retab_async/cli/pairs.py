"""Options that are given once for each of several names: `--metadata NAME=TEXT`."""

from collections.abc import Callable
from typing import Any

import click


def pairs_option(names: list[str], metavar: str, told: str, read: Callable[[str], Any] = str) -> click.Option:
    """Return an option whose value is a mapping, or None where it is not given; `read` reads what is after the `=`."""

    def pair_from(text: str) -> tuple[str, Any]:
        name, equals, rest = text.partition("=")
        if not equals:
            msg = f"{text!r} is not {metavar}"
            raise click.BadParameter(msg)
        return name, read(rest)

    return click.Option(names, type=pair_from, multiple=True, callback=_gathered, metavar=metavar, help=told)


def metadata_option(told: str) -> click.Option:
    """Return `--metadata`."""
    return pairs_option(["--metadata"], "NAME=TEXT", told)


def none_for_none(_: click.Context, __: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Take an option that may be given several times for untold where it is not given at all."""
    return values or None


def _gathered(
    _: click.Context, parameter: click.Parameter, pairs: tuple[tuple[str, Any], ...]
) -> dict[str, Any] | None:
    gathered = dict(pairs)
    if len(gathered) < len(pairs):
        msg = f"a name stands there twice: {parameter.metavar} is given once for each"
        raise click.BadParameter(msg)
    return gathered or None
