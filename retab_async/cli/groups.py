"""Command groups: `retab-async splits create FILE`, `retab-async workflows runs cancel ID...`; loaded when needed."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    from retab_async.resources.base import RunResource

Makers: TypeAlias = Mapping[str, Callable[[], click.Command]]

# The functions make a command of a kind, such as `workflows.runs`, and the label of its runs in texts, such as
# `workflow`.
_VERBS: Mapping[str, str] = MappingProxyType(
    {
        "cancel": "retab_async.cli.cancel:cancel_command",
        "cancel-matching": "retab_async.cli.cancel_matching:matching_command",
        "create": "retab_async.cli.create:create_command",
        "delete": "retab_async.cli.delete:delete_command",
        "get": "retab_async.cli.get:get_command",
        "list": "retab_async.cli.list:list_command",
        "process": "retab_async.cli.process:process_command",
        "wait": "retab_async.cli.wait:wait_command",
    }
)
# Methods that have another name than their command.
_METHODS = MappingProxyType({"process": "process_many"})
# Commands of a group of kinds that are not about runs.
_FILES = ("download", "get", "list", "upload")


class LazyGroup(click.Group):
    """Command group that makes a command when it is used.

    Args:
        name: The name of the group.
        makers: Makes each of its commands.
        settings: As for `click.Group`.
    """

    def __init__(self, name: str, makers: Makers, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._makers = makers

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - overrides click's method
        """Return the names of the commands."""
        return sorted(self._makers)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, and make it first if it was not used before."""
        if cmd_name not in self.commands and cmd_name in self._makers:
            self.add_command(self._makers[cmd_name](), cmd_name)
        return super().get_command(ctx, cmd_name)


class RootGroup(LazyGroup):
    """The whole command line; the kinds of run are loaded only if a command is not among the `makers`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands and of the groups of kinds."""
        self._add_kinds()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or the group of a kind."""
        if cmd_name not in self._makers:
            self._add_kinds()
        return super().get_command(ctx, cmd_name)

    def _add_kinds(self) -> None:
        from retab_async.resources import RESOURCES  # noqa: PLC0415 - loads the client

        self._makers = {**kind_makers(RESOURCES), **self._makers}


def loader(path: str, *args: str) -> Callable[[], click.Command]:
    """Return a function that imports `module:attribute`, a command or what makes one of the arguments."""

    def load() -> click.Command:
        module, _, name = path.partition(":")
        loaded = getattr(import_module(module), name)
        command: click.Command = loaded if isinstance(loaded, click.Command) else loaded(*args)
        return command

    return load


def kind_makers(resources: "Mapping[str, type[RunResource[Any]]]", prefix: str = "") -> Makers:
    """Return what makes the groups of these kinds; `workflows.runs` becomes a group `runs` in a group `workflows`."""
    suffixes = (kind.removeprefix(prefix) for kind in resources if kind.startswith(prefix))
    segments = dict.fromkeys(suffix.partition(".")[0] for suffix in suffixes)
    return {segment: partial(_group, segment, prefix + segment, resources) for segment in segments}


def _group(segment: str, path: str, resources: "Mapping[str, type[RunResource[Any]]]") -> click.Group:
    if path in resources:
        return kind_commands(path, resources[path])
    makers = kind_makers(resources, f"{path}.")
    if path != "files":
        return LazyGroup(segment, makers, help=f"Manage the runs of {segment}.")
    files = {verb: loader(f"retab_async.cli.files:{verb}_command") for verb in _FILES}
    return LazyGroup(segment, {**makers, **files}, help="Upload, list and download files; manage blueprints.")


def kind_commands(kind: str, resource: "type[RunResource[Any]]") -> click.Group:
    """Return the command group of one kind, with a command for each verb that the kind has."""
    label = _label(resource.run_type)
    methods = {verb: _METHODS.get(verb, verb.replace("-", "_")) for verb in _VERBS}
    makers = {verb: loader(path, kind, label) for verb, path in _VERBS.items() if hasattr(resource, methods[verb])}
    return LazyGroup(kind.rpartition(".")[2], makers, help=f"Manage {label} runs.")


def _label(run_type: type) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", run_type.__name__).lower()
    return words.removesuffix(" run")


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a group, and every command below it with the words that lead to it."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        # Never None: the name is one of the group's.
        command: Any = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command
