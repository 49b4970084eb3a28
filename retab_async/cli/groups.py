"""The commands of each kind of run: `retab-async splits create FILE`, `retab-async workflows runs cancel ID...`."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from retab_async.cli.cancel import cancel_command, matching_command
from retab_async.cli.create import create_command
from retab_async.cli.delete import delete_command
from retab_async.cli.get import get_command
from retab_async.cli.list import list_command
from retab_async.cli.wait import wait_command
from retab_async.resources.base import RunResource

# Each is told the name that the client has for a kind, and the word for its runs.
_VERBS: Mapping[str, Callable[[str, str], click.Command]] = MappingProxyType(
    {
        "cancel": cancel_command,
        "cancel-matching": matching_command,
        "create": create_command,
        "delete": delete_command,
        "get": get_command,
        "list": list_command,
        "wait": wait_command,
    }
)


def kind_groups(resources: Mapping[str, type[RunResource[Any]]], above: str = "") -> list[click.Group]:
    """Return the groups of the commands of these kinds; that of `workflows.runs` stands in a group `workflows`."""
    below = (name.removeprefix(above) for name in resources if name.startswith(above))
    places = dict.fromkeys(name.partition(".")[0] for name in below)
    return [_group(place, above + place, resources) for place in places]


def _group(place: str, name: str, resources: Mapping[str, type[RunResource[Any]]]) -> click.Group:
    if name in resources:
        return kind_commands(name, resources[name])
    return click.Group(place, kind_groups(resources, f"{name}."), help=f"The kinds of run that {place} have.")


def kind_commands(name: str, resource: type[RunResource[Any]]) -> click.Group:
    """Return the group of commands of one kind, such as `splits`: of those verbs that the kind has."""
    kind = _word_for(resource.run_type)
    group = click.Group(name.rpartition(".")[2], help=f"{kind.capitalize()} runs.")
    for verb, command in _VERBS.items():
        if hasattr(resource, verb.replace("-", "_")):
            group.add_command(command(name, kind))
    return group


def _word_for(run_type: type) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", run_type.__name__).lower()
    return words.removesuffix(" run")
