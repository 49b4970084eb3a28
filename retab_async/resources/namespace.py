"""Collections under their names, as they hang on a client."""

from inspect import get_annotations
from typing import Any, ClassVar

from retab_async.cleanup import CleanupQueue
from retab_async.resources.base import RunResource
from retab_async.transport import Transport


class Namespace:
    """What has collections: each attribute that is annotated with a collection, or a namespace, is made with it."""

    _members: ClassVar[dict[str, "type[Namespace | RunResource[Any]]"]] = {}

    def __init_subclass__(cls, **told: Any) -> None:
        super().__init_subclass__(**told)
        own = get_annotations(cls).items()
        cls._members = cls._members | {
            name: kind for name, kind in own if isinstance(kind, type) and issubclass(kind, Namespace | RunResource)
        }

    def __init__(self, transport: Transport, cleanup: CleanupQueue) -> None:
        self._bind_resources(transport, cleanup)

    def _bind_resources(self, transport: Transport, cleanup: CleanupQueue) -> None:
        for name, kind in self._members.items():
            setattr(self, name, kind(transport, cleanup))


def registry_of(namespace: type[Namespace], prefix: str = "") -> dict[str, type[RunResource[Any]]]:
    """Return the collections of runs below a namespace by their dotted names, as `client.workflows.runs` is written."""
    found: dict[str, type[RunResource[Any]]] = {}
    for name, kind in namespace._members.items():  # noqa: SLF001 - one of us
        found |= registry_of(kind, f"{prefix}{name}.") if issubclass(kind, Namespace) else {f"{prefix}{name}": kind}
    return found
