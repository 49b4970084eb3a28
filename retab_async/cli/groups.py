"""Command groups of the kinds: `retab-async splits create FILE`, `retab-async workflows runs cancel ID...`."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from retab_async.cli.cancel import cancel_command
from retab_async.cli.cancel_matching import matching_command
from retab_async.cli.create import create_command
from retab_async.cli.delete import delete_command
from retab_async.cli.get import get_command
from retab_async.cli.list import list_command
from retab_async.cli.process import process_command
from retab_async.cli.wait import wait_command
from retab_async.resources.base import RunResource

# Each takes a kind, such as `workflows.runs`, and the label of its runs in texts, such as `workflow`.
_VERBS: Mapping[str, Callable[[str, str], click.Command]] = MappingProxyType(
    {
        "cancel": cancel_command,
        "cancel-matching": matching_command,
        "create": create_command,
        "delete": delete_command,
        "get": get_command,
        "list": list_command,
        "process": process_command,
        "wait": wait_command,
    }
)

# Methods that have another name than their command.
_METHODS = MappingProxyType({"process": "process_many"})


def kind_groups(resources: Mapping[str, type[RunResource[Any]]], prefix: str = "") -> list[click.Group]:
    """Return the command groups of these kinds; `workflows.runs` becomes a group `runs` in a group `workflows`."""
    suffixes = (kind.removeprefix(prefix) for kind in resources if kind.startswith(prefix))
    segments = dict.fromkeys(suffix.partition(".")[0] for suffix in suffixes)
    return [_group(segment, prefix + segment, resources) for segment in segments]


def _group(segment: str, path: str, resources: Mapping[str, type[RunResource[Any]]]) -> click.Group:
    if path in resources:
        return kind_commands(path, resources[path])
    return click.Group(segment, kind_groups(resources, f"{path}."), help=f"Manage the runs of {segment}.")


def kind_commands(kind: str, resource: type[RunResource[Any]]) -> click.Group:
    """Return the command group of one kind, with a command for each verb that the kind has."""
    label = _label(resource.run_type)
    group = click.Group(kind.rpartition(".")[2], help=f"Manage {label} runs.")
    for verb, make_command in _VERBS.items():
        if hasattr(resource, _METHODS.get(verb, verb.replace("-", "_"))):
            group.add_command(make_command(kind, label))
    return group


def _label(run_type: type) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", run_type.__name__).lower()
    return words.removesuffix(" run")
