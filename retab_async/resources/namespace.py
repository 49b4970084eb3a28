"""Groups of resources, and the registry of the kinds of run below them."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

from retab_async.official_names import OfficialNames

if TYPE_CHECKING:
    from retab_async.cleanup import CleanupQueue
    from retab_async.resources.base import RunResource
    from retab_async.transport import Transport


class _Member:
    """Descriptor of a member, which replaces itself in the namespace with what it creates."""

    def __set_name__(self, owner: type["Namespace"], name: str) -> None:
        self._owner = owner
        self.name = name

    def __get__(self, namespace: "Namespace | None", owner: type["Namespace"]) -> Any:
        if namespace is None:
            return self
        member = vars(namespace)[self.name] = namespace._create(self.load())  # noqa: SLF001 - a part of the class
        return member

    def load(self) -> Any:
        """Return the class that the attribute is annotated with."""
        annotation = get_annotations(self._owner)[self.name]
        # A name of the module, which may load it lazily.
        is_name = isinstance(annotation, str)
        return getattr(import_module(self._owner.__module__), annotation) if is_name else annotation


def member() -> Any:
    """Declare an attribute of a namespace: a resource or another namespace, loaded and created on first use."""
    return _Member()


class Namespace(OfficialNames):
    """A group of resources.

    Args:
        transport: Sends the requests of the resources.
        cleanup: Returns the cleanup queue of the client.
    """

    def __init__(self, transport: "Transport", cleanup: "Callable[[], CleanupQueue]") -> None:
        self._bind_resources(transport, cleanup)

    def _bind_resources(self, transport: "Transport", cleanup: "Callable[[], CleanupQueue]") -> None:
        self._transport = transport
        self._load_cleanup = cleanup
        for each in _members(type(self)):
            vars(self).pop(each.name, None)

    def _create(self, member_type: Any) -> Any:
        return member_type(self._transport, self._load_cleanup)


class Registry(Mapping[str, type["RunResource[Any]"]]):
    """The resources below a namespace by their dotted names, such as `workflows.runs`; loaded on first use."""

    def __init__(self, namespace: type[Namespace]) -> None:
        self._namespace = namespace

    @cached_property
    def _resources(self) -> dict[str, type["RunResource[Any]"]]:
        return dict(_resources_below(self._namespace, ""))

    def __getitem__(self, name: str) -> type["RunResource[Any]"]:
        return self._resources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)


def _members(cls: type[Namespace]) -> list[_Member]:
    return [value for base in reversed(cls.__mro__) for value in vars(base).values() if isinstance(value, _Member)]


def _resources_below(namespace: type[Namespace], prefix: str) -> Iterator[tuple[str, type["RunResource[Any]"]]]:
    for each in _members(namespace):
        loaded = each.load()
        if issubclass(loaded, Namespace):
            yield from _resources_below(loaded, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}", loaded
