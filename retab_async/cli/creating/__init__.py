"""`retab-async splits create FILE`, and what each kind asks for in it: a kind more is a module and a line here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from retab_async.cli.creating import partitions, splits
from retab_async.cli.creating.command import create_command

__all__ = ["OPTIONS", "create_command"]

# The names of a kind's options are those of the arguments that its `create` and its `running` take.
OPTIONS: Mapping[str, Sequence[click.Option]] = MappingProxyType(
    {"splits": splits.OPTIONS, "partitions": partitions.OPTIONS}
)
