"""Generated structure functions: JSON that fits a model exactly becomes an instance without going through `__init__`.

cattrs generates its functions in the same way; these leave everything that does not fit exactly to cattrs' own. A model
is frozen: its instance begins as one of a twin class with the same slots that is not, and gets its class once filled.
"""

from abc import ABCMeta
from collections.abc import Callable, Mapping
from datetime import datetime
from types import BuiltinMethodType, GetSetDescriptorType, MemberDescriptorType, NoneType
from typing import Any, get_args, get_origin

import attrs
from cattrs import BaseConverter

from retab_async.models import RunStatus, is_extra, to_status

Hook = Callable[[Any, Any], Any]

_STATUSES = {str(status): status for status in RunStatus}
_GIVE_UP = "raise TypeError"


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
    try:
        # Assignments to its slots take a third of the time of calls of their descriptors, which a frozen class needs.
        mutable = _mutable_twin(cls)
    except TypeError:
        return fallback
    names: dict[str, Any] = {
        "cls": cls,
        "mutable": mutable,
        "new": object.__new__,
        "fallback": fallback,
        "find_hook": converter.get_structure_hook,
        "statuses": _STATUSES,
        "read_time": datetime.fromisoformat,
    }
    body = _body_lines(cls, names)
    hooks = [name for name in names if name.startswith("hook_")]
    lines = [
        f"def make({', '.join(names)}):",
        "    def structure(value, _):",
        *(f"        nonlocal {name}" for name in hooks),
        "        if type(value) is dict:",
        "            made = new(mutable)",
        "            try:",
        *(f"                {line}" for line in body),
        "                made.__class__ = cls",
        "                return made",
        "            except Exception:",
        # Tracebacks may show locals, and a part of an instance has no repr.
        "                del made",
        # Also for what a hook of a field has raised: this error names the whole path.
        "        return fallback(value, cls)",
        "    return structure",
    ]
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(lines), f"<structure {cls.__qualname__}>", "exec"), namespace)  # noqa: S102 - made of the names of fields
    hook: Hook = namespace["make"](**names)
    return hook


def known_fields(cls: Any) -> frozenset[str] | None:
    """Return the names of a model's JSON fields if one further field holds the unknown ones, None without such."""
    fields = attrs.fields(cls)
    return frozenset(field.name for field in fields if not is_extra(field)) if any(map(is_extra, fields)) else None


def unknown_fields(value: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a JSON object that its model does not know."""
    return {name: each for name, each in value.items() if name not in known}


def without_none(kind: Any) -> Any:
    """Return the type of an optional field without `None`."""
    kinds = [each for each in get_args(kind) if each is not NoneType]
    return kinds[0] if len(kinds) < len(get_args(kind)) else kind


def _mutable_twin(cls: Any) -> Any:
    # Raises a TypeError if no instance can become one of the class, such as an abstract one.
    if type(cls) not in {type, ABCMeta} or not isinstance(cls.__init_subclass__, BuiltinMethodType):
        msg = "its bases would notice the twin as a further subclass"
        raise TypeError(msg)
    slots = MemberDescriptorType | GetSetDescriptorType
    names = {name: value for name, value in vars(cls).items() if not isinstance(value, slots)}
    names |= {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    # Not the same name, because a tagged union of all subclasses uses it as the tag.
    twin = type(cls)(f"_{cls.__name__}", cls.__bases__, names)
    object.__new__(twin).__class__ = cls
    return twin


def _is_plain(cls: type, field: "attrs.Attribute[Any]") -> bool:
    # Nothing that `__init__` does beyond the assignment is left out.
    converter: Any = field.converter
    is_converted = converter is not None and not (converter is to_status and field.type is RunStatus)
    is_slot = isinstance(getattr(cls, field.name, None), MemberDescriptorType)
    return is_slot and field.init and field.alias == field.name and field.validator is None and not is_converted


def _body_lines(cls: type, names: dict[str, Any]) -> list[str]:
    # Assigns the structured value of each field, or gives up.
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    required = [field for field in fields if field.default is attrs.NOTHING]
    optional = [field for field in fields if field.default is not attrs.NOTHING]
    defaults = {field.name: _default_expression(field, names) for field in optional}
    lines = ["get = value.get"]
    lines += [line for field in optional for line in _optional_lines(cls, field, defaults[field.name], names)]
    if "error" in defaults:
        # The shortest answer to a cancel: the required fields, and `"error": null`.
        lines = [
            f"if len(value) == {len(required) + 1} and 'error' in value and value['error'] is None:",
            *(f"    made.{name} = {default}" for name, default in defaults.items()),
            "else:",
            *(f"    {line}" for line in lines),
        ]
    return [*(line for field in required for line in _required_lines(field, names)), *lines]


def _default_expression(field: "attrs.Attribute[Any]", names: dict[str, Any]) -> str:
    make_default = getattr(field.default, "factory", None)
    names[f"default_{field.name}"] = field.default if make_default is None else make_default
    return f"default_{field.name}" if make_default is None else f"default_{field.name}()"


def _required_lines(field: "attrs.Attribute[Any]", names: dict[str, Any]) -> list[str]:
    name = field.name
    return [f"item = value[{name!r}]", *_item_lines(field.type, name, names), f"made.{name} = item"]


def _optional_lines(cls: type, field: "attrs.Attribute[Any]", default: str, names: dict[str, Any]) -> list[str]:
    name = field.name
    if is_extra(field):
        names["known"], names["unknown"] = known_fields(cls), unknown_fields
        return [f"made.{name} = {default} if known.issuperset(value) else unknown(value, known)"]
    return [
        f"item = get({name!r})",
        "if item is None:",
        f"    made.{name} = {default}",
        "else:",
        *(f"    {line}" for line in _item_lines(without_none(field.type), name, names)),
        f"    made.{name} = item",
    ]


def _item_lines(kind: Any, name: str, names: dict[str, Any]) -> list[str]:
    # Replaces the item by its structured value, or gives up.
    exact = _exact_type(kind)
    if exact:
        return [f"if type(item) is not {exact}:", f"    {_GIVE_UP}"]
    if kind is RunStatus:
        return ["item = statuses[item]"]
    if kind is datetime:
        # The converter reads a time without an offset as UTC.
        return ["item = read_time(item)", "if item.tzinfo is None:", f"    {_GIVE_UP}"]
    is_tuple = get_origin(kind) is tuple
    kind = get_args(kind)[0] if is_tuple else kind
    exact = _exact_type(kind)
    # Found when it is first needed: most responses have no output, and each hook takes half a millisecond to make.
    find = [f"if hook_{name} is None:", f"    hook_{name} = find_hook(kind_{name})"]
    if not exact:
        names[f"kind_{name}"], names[f"hook_{name}"] = kind, None
    if not is_tuple:
        return [*find, f"item = hook_{name}(item, kind_{name})"]
    check = ["if type(item) is not list:", f"    {_GIVE_UP}"]
    if not exact:
        return [*check, *find, f"item = tuple([hook_{name}(each, kind_{name}) for each in item]) if item else ()"]
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
