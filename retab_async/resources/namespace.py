"""Groups of resources, and the registry of the kinds of run below them."""

from inspect import get_annotations
from typing import Any

from retab_async.cleanup import CleanupQueue
from retab_async.resources.base import RunResource
from retab_async.transport import Transport


class Namespace:
    """A group of resources: each attribute annotated with a resource, or another group, is created with it."""

    def __init__(self, transport: Transport, cleanup: CleanupQueue) -> None:
        self._bind_resources(transport, cleanup)

    def _bind_resources(self, transport: Transport, cleanup: CleanupQueue) -> None:
        for name, member in _members(type(self)).items():
            setattr(self, name, member(transport, cleanup))


def registry_of(namespace: type[Namespace], prefix: str = "") -> dict[str, type[RunResource[Any]]]:
    """Return the resources below a namespace by their dotted names, such as `workflows.runs`."""
    found: dict[str, type[RunResource[Any]]] = {}
    for name, member in _members(namespace).items():
        found |= (
            registry_of(member, f"{prefix}{name}.") if issubclass(member, Namespace) else {f"{prefix}{name}": member}
        )
    return found


def _members(namespace: type[Namespace]) -> dict[str, type[Namespace | RunResource[Any]]]:
    return {
        name: member
        for cls in reversed(namespace.__mro__)
        for name, member in get_annotations(cls).items()
        if isinstance(member, type) and issubclass(member, Namespace | RunResource)
    }
