"""Generated structure functions: JSON that fits a model exactly becomes an instance without going through `__init__`.

cattrs generates its functions in the same way; these leave everything that does not fit exactly to cattrs' own.
"""

from collections.abc import Callable, Mapping
from types import MemberDescriptorType, NoneType
from typing import Any, get_args, get_origin

import attrs
from cattrs import BaseConverter

from retab_async.models import RunStatus, is_extra, to_status

Hook = Callable[[Any, Any], Any]

_STATUSES = {str(status): status for status in RunStatus}
_GIVE_UP = "return fallback(value, cls)"


def exact_structure_fn(cls: Any, converter: BaseConverter, fallback: Hook) -> Hook:
    """Return the hook that structures a JSON object as an attrs class.

    Args:
        cls: A slotted attrs class.
        converter: Has the hooks of the types of its fields.
        fallback: Structures what does not fit exactly, or raises the error for it.
    """
    fields = attrs.fields(cls)
    if not all(_is_plain(cls, field) for field in fields) or hasattr(cls, "__attrs_post_init__"):
        return fallback
    names: dict[str, Any] = {"cls": cls, "new": object.__new__, "fallback": fallback, "statuses": _STATUSES}
    body = [line for field in fields for line in _field_lines(cls, field, converter, names)]
    lines = [
        f"def make({', '.join(names)}):",
        "    def structure(value, _):",
        "        if type(value) is not dict:",
        f"            {_GIVE_UP}",
        "        get = value.get",
        "        try:",
        "            made = new(cls)",
        *(f"            {line}" for line in body),
        "        except Exception:",
        # Also for what a hook of a field has raised: the error names the whole path.
        f"            {_GIVE_UP}",
        "        return made",
        "    return structure",
    ]
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(lines), f"<structure {cls.__qualname__}>", "exec"), namespace)  # noqa: S102 - made of the names of fields
    hook: Hook = namespace["make"](**names)
    return hook


def without_none(kind: Any) -> Any:
    """Return the type of an optional field without `None`."""
    kinds = [each for each in get_args(kind) if each is not NoneType]
    return kinds[0] if len(kinds) < len(get_args(kind)) else kind


def _is_plain(cls: type, field: "attrs.Attribute[Any]") -> bool:
    # Nothing that `__init__` does beyond the assignment is left out.
    converter: Any = field.converter
    is_converted = converter is not None and not (converter is to_status and field.type is RunStatus)
    is_slot = isinstance(getattr(cls, field.name, None), MemberDescriptorType)
    return is_slot and field.init and field.alias == field.name and field.validator is None and not is_converted


def _field_lines(
    cls: type, field: "attrs.Attribute[Any]", converter: BaseConverter, names: dict[str, Any]
) -> list[str]:
    name = field.name
    names[f"set_{name}"] = getattr(cls, name).__set__
    assign = f"set_{name}(made, item)"
    if field.default is attrs.NOTHING:
        return [f"item = value[{name!r}]", *_item_lines(field.type, name, converter, names), assign]
    make_default = getattr(field.default, "factory", None)
    names[f"default_{name}"] = field.default if make_default is None else make_default
    default = f"default_{name}" if make_default is None else f"default_{name}()"
    if is_extra(field):
        return [f"set_{name}(made, {default})"]
    return [
        f"item = get({name!r})",
        "if item is None:",
        f"    item = {default}",
        "else:",
        *(f"    {line}" for line in _item_lines(without_none(field.type), name, converter, names)),
        assign,
    ]


def _item_lines(kind: Any, name: str, converter: BaseConverter, names: dict[str, Any]) -> list[str]:
    # Replaces `item` by its structured value, or gives up.
    exact = _exact_type(kind)
    if exact:
        return [f"if type(item) is not {exact}:", f"    {_GIVE_UP}"]
    if kind is RunStatus:
        return ["item = statuses[item]"]
    is_tuple = get_origin(kind) is tuple
    kind = get_args(kind)[0] if is_tuple else kind
    exact = _exact_type(kind)
    if not exact:
        names[f"kind_{name}"], names[f"hook_{name}"] = kind, converter.get_structure_hook(kind)
    if not is_tuple:
        return [f"item = hook_{name}(item, kind_{name})"]
    check = ["if type(item) is not list:", f"    {_GIVE_UP}"]
    if not exact:
        return [*check, f"item = tuple([hook_{name}(each, kind_{name}) for each in item])"]
    return [
        *check,
        "for each in item:",
        f"    if type(each) is not {exact}:",
        f"        {_GIVE_UP}",
        "item = tuple(item)",
    ]


def _exact_type(kind: Any) -> str:
    if kind in {str, bool, int}:
        return str(kind.__name__)
    return "dict" if get_origin(kind) is Mapping and get_args(kind)[1] is Any else ""
