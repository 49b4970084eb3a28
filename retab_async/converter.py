"""The cattrs converter from JSON to attrs classes and back, each hook with its reason."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import attrs
from cattrs import (
    BaseConverter,
    ClassValidationError,
    Converter,
    IterableValidationError,
    transform_error,
)
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.orjson import make_converter as make_orjson_converter

from retab_async.errors import SchemaMismatchError
from retab_async.exact_structure import Hook, exact_structure_fn, known_fields, unknown_fields, without_none
from retab_async.models import Run, RunStatus, default_of, is_extra

T = TypeVar("T")

_JSON_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_STATUSES = {str(status): status for status in RunStatus}


def make_structurer(cls: type[T]) -> Callable[[object], T]:
    """Return the function that structures a JSON value as `cls`, or raises `SchemaMismatchError`."""
    hook: Callable[[object, type[T]], T] = _converter().get_structure_hook(cls)

    def structure(value: object) -> T:
        try:
            return hook(value, cls)
        except (ClassValidationError, TypeError) as error:
            raise _mismatch(error) from None

    return structure


def structure_leniently(value: object, cls: type[T]) -> tuple[T, tuple[SchemaMismatchError, ...]]:
    """Structure a JSON value as `cls`, with the default for each field that does not fit, at any depth.

    A value without a default of its own costs the innermost field around it that has one.

    Returns:
        The instance, and the error of each value that did not fit.

    Raises:
        SchemaMismatchError: `value` is not an object, or a field of `cls` without a default is missing or does not fit.
    """
    try:
        return _converter().structure(value, cls), ()
    except (ClassValidationError, TypeError) as error:
        removed: list[SchemaMismatchError] = []
        remaining, fatal = _without_invalid(value, error, "", removed)
        if fatal is not None:
            raise fatal from None
    return _converter().structure(remaining, cls), tuple(removed)


def _without_invalid(
    value: Any, error: Exception, path: str, removed: list[SchemaMismatchError]
) -> tuple[Any, SchemaMismatchError | None]:
    # Returns a copy without the optional fields that do not fit, and the first error outside of all of them.
    if not isinstance(error, ClassValidationError | IterableValidationError | _MappingError):
        return value, _mismatch(error, path)
    optional = _optional_fields(error.cl) if isinstance(error, ClassValidationError) else frozenset()
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    fatal: SchemaMismatchError | None = None
    for key, place, problem in _problems(error, path):
        item = None if isinstance(problem, KeyError) else value[key]
        remaining, outside = _without_invalid(item, problem, place, removed)
        if outside is None:
            copy[key] = remaining
        elif key in optional:
            removed.append(outside)
            del copy[key]
        else:
            fatal = fatal or outside
    return copy, fatal


def _problems(
    error: "ClassValidationError | IterableValidationError | _MappingError", path: str
) -> list[tuple[Any, str, Exception]]:
    # The key or index of each value that does not fit, its path, and its error.
    if isinstance(error, ClassValidationError):
        return [(note.name, f"{path}.{note.name}", each) for each, note in error.group_exceptions()[0]]
    if isinstance(error, IterableValidationError):
        return [(note.index, f"{path}[{note.index}]", each) for each, note in error.group_exceptions()[0]]
    return [(key, path, each) for key, each in error.problems]


def _optional_fields(cls: Any) -> frozenset[str]:
    return frozenset(field.name for field in attrs.fields(cls) if field.default is not attrs.NOTHING)


def unstructure(value: object) -> Any:
    """Return an attrs instance as a JSON value."""
    return _converter().unstructure(value)


def _mismatch(error: Exception, start: str = "") -> SchemaMismatchError:
    reason, _, path = transform_error(error, start, _reason)[0].rpartition(" @ ")
    return SchemaMismatchError(path.removeprefix("."), reason)


def _reason(error: BaseException, _: object) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)


@cache
def _converter() -> Converter:
    return make_converter()


def make_converter(*, with_generated: bool = True) -> Converter:
    """Return a new converter; without generated functions it gives the same results, only more slowly."""
    converter = make_orjson_converter(detailed_validation=True)
    # cattrs would call str(), int() ... on any value: {"name": null} would become the name "None".
    converter.register_structure_hook(str, _exactly(str))
    converter.register_structure_hook(bool, _exactly(bool))
    converter.register_structure_hook(int, _read_int)
    converter.register_structure_hook(float, _read_float)
    # An open vocabulary, in which a blank word means nothing.
    converter.register_structure_hook(RunStatus, _read_status)
    converter.register_unstructure_hook(RunStatus, str.__str__)
    # RFC 3339; without an offset it is read as UTC, so that a datetime is always aware.
    converter.register_structure_hook(datetime, _read_datetime)
    converter.register_unstructure_hook(datetime, _write_datetime)
    # Free-form objects are kept as they are, and copied when written.
    converter.register_structure_hook_factory(_is_of(Mapping))(_mapping_hook)
    converter.register_unstructure_hook_func(_is_free_form, _copy_json)
    # A string is iterable too: cattrs would make the pages (1, 2) of "12".
    converter.register_structure_hook_factory(_is_of(tuple))(_tuple_hook)
    # A null means the same as an absent key: the default.
    make_hook = _generated_hook if with_generated else _object_hook
    converter.register_structure_hook_factory(attrs.has)(make_hook)
    converter.register_unstructure_hook_factory(_is_run)(_write_run_hook)
    # A tagged union with an open tag; written as the class of the value, not of the field.
    converter.register_structure_hook_factory(_is_lifecycle)(_lifecycle_hook)
    converter.register_unstructure_hook_func(_is_lifecycle, lambda value: converter.unstructure(value, type(value)))
    return converter


def _is_lifecycle(cls: Any) -> bool:
    # By its name, because its module is slow to load, and most kinds do not need it.
    return getattr(cls, "__module__", "") == "retab_async.lifecycles" and cls.__qualname__ == "Lifecycle"


def _is_of(origin: Any) -> Callable[[Any], bool]:
    return lambda cls: get_origin(cls) is origin


def _is_free_form(cls: Any) -> bool:
    return get_origin(cls) is Mapping and get_args(cls)[1] is Any


def _copy_json(value: Any) -> Any:
    # Without recursion, which a server could exhaust by nesting.
    copies: list[Any] = [None]
    pending: list[tuple[Any, Any, Any]] = [(copies, 0, value)]
    while pending:
        target, key, item = pending.pop()
        if isinstance(item, Mapping):
            copy: Any = dict.fromkeys(item)
            pending.extend((copy, name, each) for name, each in item.items())
        elif isinstance(item, list | tuple):
            copy = [None] * len(item)
            pending.extend((copy, index, each) for index, each in enumerate(item))
        else:
            copy = item
        target[key] = copy
    return copies[0]


class _MappingError(TypeError):
    """Values of a mapping that do not fit; its keys may be user data and stay out of the message."""

    def __init__(self, problems: list[tuple[str, Exception]]) -> None:
        super().__init__(str(_mismatch(problems[0][1])))
        self.problems = problems


def _type_error(value: object, expected: str) -> TypeError:
    return TypeError(f"{expected} was expected, not {_JSON_NAMES.get(type(value), type(value).__name__)}")


def _exactly(kind: type, default: Any = attrs.NOTHING) -> Hook:
    def read(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        if value is None and default is not attrs.NOTHING:
            return default
        raise _type_error(value, _JSON_NAMES[kind])

    return read


def _read_int(value: Any, _: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise _type_error(value, "an integer")


def _read_float(value: Any, _: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise _type_error(value, "a number")


def _read_status(value: Any, _: Any) -> RunStatus:
    known = _STATUSES.get(value) if type(value) is str else None
    if known is not None:
        return known
    if type(value) is str and value:
        return RunStatus(value)
    raise _type_error(value, "a status word")


def _read_datetime(value: Any, _: Any) -> datetime:
    if type(value) is not str:
        raise _type_error(value, "a string")
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        # The ValueError quotes the value, which in a garbled response may be the caller's key.
        raise _type_error(value, "an RFC 3339 time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _write_datetime(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _tuple_hook(cls: Any, converter: BaseConverter) -> Hook:
    read_items = homogenous_tuple_structure_factory(cls, converter)

    def read(value: Any, _: Any) -> Any:
        if type(value) is list:
            return read_items(value, cls) if value else ()
        raise _type_error(value, "an array")

    return read


def _mapping_hook(cls: Any, converter: BaseConverter) -> Hook:
    kind = get_args(cls)[1]
    read_object = _exactly(dict)
    if kind is Any:
        return read_object
    read_value = converter.get_structure_hook(kind)

    def read(value: Any, _: Any) -> Any:
        read_items: dict[str, Any] = {}
        problems: list[tuple[str, Exception]] = []
        for key, each in read_object(value, cls).items():
            try:
                read_items[key] = read_value(each, kind)
            except (ClassValidationError, TypeError) as error:
                problems.append((key, error))
        if problems:
            raise _MappingError(problems)
        return read_items

    return read


def _lifecycle_hook(_: Any, converter: BaseConverter) -> Hook:
    from retab_async.lifecycles import LIFECYCLES, UnknownLifecycle  # noqa: PLC0415 - see _is_lifecycle

    hooks = {kind: converter.get_structure_hook(kind) for kind in (*LIFECYCLES.values(), UnknownLifecycle)}

    def read(value: Any, _: Any) -> Any:
        word = value.get("status") if type(value) is dict else None
        kind = LIFECYCLES.get(word, UnknownLifecycle) if type(word) is str else UnknownLifecycle
        return hooks[kind](value, kind)

    return read


def _generated_hook(cls: Any, converter: BaseConverter) -> Hook:
    @cache
    def cattrs_hook() -> Hook:
        return _object_hook(cls, converter)

    def fall_back(value: Any, kind: Any) -> Any:
        # Made when it is first needed, because most responses fit.
        return cattrs_hook()(value, kind)

    return exact_structure_fn(cls, converter, fall_back)


def _object_hook(cls: Any, converter: BaseConverter) -> Hook:
    optional: dict[str, Any] = {
        field.name: override(omit=True)
        if is_extra(field)
        else override(struct_hook=_unless_null(without_none(field.type), default_of(field), converter))
        for field in attrs.fields(cls)
        if field.default is not attrs.NOTHING
    }
    read_fields: Hook = make_dict_structure_fn(cls, converter, **optional)
    known = known_fields(cls)

    def read(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _type_error(value, "an object")
        made = read_fields(value, cls)
        if known is not None and not known.issuperset(value):
            # The models are frozen.
            object.__setattr__(made, "extra", unknown_fields(value, known))
        return made

    return read


def _is_run(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Run)


def _write_run_hook(cls: Any, converter: BaseConverter) -> Callable[[Any], dict[str, Any]]:
    omitted: dict[str, Any] = {field.name: override(omit=True) for field in attrs.fields(cls) if is_extra(field)}
    write_fields = make_dict_unstructure_fn(cls, converter, **omitted)

    def write(run: Any) -> dict[str, Any]:
        fields: dict[str, Any] = write_fields(run)
        return {**_copy_json(run.extra), **fields} if run.extra else fields

    return write


def _unless_null(kind: Any, default: Any, converter: BaseConverter) -> Hook:
    if kind is str or kind is bool:
        # One call instead of two for the most common field types.
        return _exactly(kind, default)
    hook = converter.get_structure_hook(kind)

    def read(value: Any, _: Any) -> Any:
        return default if value is None else hook(value, kind)

    return read
