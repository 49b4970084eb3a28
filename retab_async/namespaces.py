"""Collections under their names, as they hang on a client."""

from collections.abc import Iterator
from inspect import get_annotations
from typing import Any

from retab_async.janitor import Janitor
from retab_async.runs import RunResource
from retab_async.transport import Transport


class Namespace:
    """What has collections: each attribute that is annotated with a collection, or a namespace, is made with it."""

    def __init__(self, transport: Transport, janitor: Janitor) -> None:
        self._furnish(transport, janitor)

    def _furnish(self, transport: Transport, janitor: Janitor) -> None:
        for name, kind in _members(type(self)):
            setattr(self, name, kind(transport, janitor))


def kinds_of(namespace: type[Namespace], prefix: str = "") -> dict[str, type[RunResource[Any]]]:
    """Return the collections of runs below a namespace by their dotted names, as `client.workflows.runs` is written."""
    found: dict[str, type[RunResource[Any]]] = {}
    for name, kind in _members(namespace):
        found |= kinds_of(kind, f"{prefix}{name}.") if issubclass(kind, Namespace) else {f"{prefix}{name}": kind}
    return found


def _members(namespace: type[Namespace]) -> Iterator[tuple[str, type[Namespace] | type[RunResource[Any]]]]:
    for parent in namespace.__mro__:
        for name, kind in get_annotations(parent).items():
            if isinstance(kind, type) and issubclass(kind, Namespace | RunResource):
                yield name, kind
