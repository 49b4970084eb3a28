"""Lazy names of a package (PEP 562): each is imported from its module when it is first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from sys import modules
from typing import Any


def lazy_names(
    package: str, sources: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, `__dir__` and `__all__` of a package.

    The modules that the names come from are attributes of the package too, as after an import of all of them.

    Args:
        package: Name of the package.
        sources: From each name to its module below the package; `module:name` if it has another name there.
    """
    namespace = vars(modules[package])
    children = {source.partition(":")[0].partition(".")[0] for source in sources.values()}

    def load(name: str) -> Any:
        source = sources.get(name)
        if source is None:
            if name in children:
                return import_module(f"{package}.{name}")
            from retab_async.official_names import attribute_hint  # noqa: PLC0415 - of a failure only

            msg = f"module {package!r} has no attribute {name!r}{attribute_hint([package], name)}"
            raise AttributeError(msg, name=name, obj=modules[package])
        module, _, original = source.partition(":")
        value = namespace[name] = getattr(import_module(f"{package}.{module}"), original or name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *sources, *children})

    return load, names, list(sources)
