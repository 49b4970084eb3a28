"""The commands of each kind of run: `retab-async splits create FILE`, `retab-async splits cancel ID...`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from retab_async.cli.creating import OPTIONS, create_command
from retab_async.cli.ending import cancel_command, delete_command
from retab_async.cli.listing import list_command
from retab_async.cli.reading import get_command
from retab_async.cli.waiting import wait_command
from retab_async.runs import RunResource

_VERBS: Mapping[str, Callable[[str, str], click.Command]] = MappingProxyType(
    {
        "cancel": cancel_command,
        "delete": delete_command,
        "get": get_command,
        "list": list_command,
        "wait": wait_command,
    }
)


def kind_commands(name: str, resource: type[RunResource[Any]]) -> click.Group:
    """Return the group of commands of one kind, such as `splits`: of those verbs that the kind has."""
    kind = resource.run_type.__name__.lower()
    group = click.Group(name, help=f"Create, follow, cancel and delete {name}.")
    if name in OPTIONS:
        group.add_command(create_command(name, kind, OPTIONS[name]))
    for verb, command in _VERBS.items():
        if hasattr(resource, verb):
            group.add_command(command(name, kind))
    return group
