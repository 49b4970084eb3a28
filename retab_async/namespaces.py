"""Collections under their names, as they hang on a client."""

from inspect import get_annotations
from typing import Any, ClassVar

from retab_async.janitor import Janitor
from retab_async.runs import RunResource
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

    def __init__(self, transport: Transport, janitor: Janitor) -> None:
        self._furnish(transport, janitor)

    def _furnish(self, transport: Transport, janitor: Janitor) -> None:
        for name, kind in self._members.items():
            setattr(self, name, kind(transport, janitor))


def kinds_of(namespace: type[Namespace], prefix: str = "") -> dict[str, type[RunResource[Any]]]:
    """Return the collections of runs below a namespace by their dotted names, as `client.workflows.runs` is written."""
    found: dict[str, type[RunResource[Any]]] = {}
    for name, kind in namespace._members.items():  # noqa: SLF001 - one of us
        found |= kinds_of(kind, f"{prefix}{name}.") if issubclass(kind, Namespace) else {f"{prefix}{name}": kind}
    return found
