"""Argument validation: checked before anything is sent, `InvalidRequestError` for what the API would reject."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

from retab_async.errors import InvalidRequestError
from retab_async.json_codec import dumps

T = TypeVar("T")

_MAX_KEY_LENGTH = 255
# Every JSON reader keeps integers up to here exact.
_MAX_INT = 2**53


def reject(reason: str) -> NoReturn:
    """Raise `InvalidRequestError` with this reason."""
    raise InvalidRequestError(reason)


def json_schema(name: str, value: Any) -> Mapping[str, Any]:
    """Return a JSON Schema: a mapping, or that of a pydantic model class."""
    make_schema = getattr(value, "model_json_schema", None) if isinstance(value, type) else None
    schema = json_object(name, value if make_schema is None else make_schema())
    if not schema:
        reject(f"{name} is empty: it must describe what to extract")
    return schema


def is_pydantic(value: object) -> bool:
    """Return whether a value is an instance of a pydantic model, as the objects of the official client are."""
    return not isinstance(value, type) and callable(getattr(value, "model_dump", None))


def instance_of(cls: type[T], name: str, value: Any) -> T:
    """Return an instance of a model, made from a mapping or a pydantic model of its fields if necessary."""
    value = drop_none(value.model_dump()) if is_pydantic(value) else value
    if isinstance(value, Mapping):
        try:
            return cls(**value)
        except TypeError as error:
            reject(f"{name} has other fields than {cls.__name__}: {error}")
    if not isinstance(value, cls):
        reject(f'{name} must contain {cls.__name__}("name"), or mappings of its fields, not {value!r:.200}')
    return value


def non_blank_str(name: str, value: Any) -> str:
    """Return a string that is not blank; an enum member stands for its value."""
    if not utf8_str(name, value).strip():
        reject(f"{name} must be a string that is not blank, not {value!r:.200}")
    return utf8_str(name, value)


def utf8_str(name: str, value: Any) -> str:
    """Return a string, possibly blank, that can be encoded as UTF-8."""
    if not isinstance(value, str):
        reject(f"{name} must be a string, not {value!r:.200}")
    # str() of an enum member is its name.
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        reject(f"{name} must be a string that can be encoded as UTF-8, not {value!r:.200}")
    return text


def optional_str(name: str, value: Any) -> str | None:
    """Return a string that is not blank, or None for None."""
    return None if value is None else non_blank_str(name, value)


def bounded_int(name: str, value: Any, *, least: int, most: int) -> int:
    """Return an integer from `least` to `most`, bounds included."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        reject(f"{name} must be an integer from {least} to {most}, not {value!r:.200}")
    return value


def optional_int(name: str, value: Any, *, least: int) -> int | None:
    """Return an integer of at least `least`, or None for None."""
    return None if value is None else bounded_int(name, value, least=least, most=_MAX_INT)


def strict_bool(name: str, value: Any) -> bool:
    """Return True or False; no other value counts as either."""
    if not isinstance(value, bool):
        reject(f"{name} must be True or False, not {value!r:.200}")
    return value


def one_of(name: str, value: Any, words: Sequence[str]) -> str:
    """Return a value that is one of `words`."""
    if not isinstance(value, str) or value not in words:
        reject(f"{name} must be {' or '.join(map(repr, words))}, not {value!r:.200}")
    return str(value)


def non_empty_list(name: str, value: Any, what: str) -> Sequence[Any]:
    """Return a list or tuple with at least one `what`; strings and one-shot iterators are rejected."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        reject(f"{name} must be a list of at least one {what}, not {value!r:.200}")
    return value


def json_object(name: str, value: Any) -> Mapping[str, Any]:
    """Return a mapping that can be sent as JSON."""
    if not isinstance(value, Mapping):
        reject(f"{name} must be a mapping, not {value!r:.200}")
    try:
        dumps(value, dict)
    except TypeError as error:
        reject(f"{name} cannot be sent as JSON: {error}")
    return value


def str_dict(name: str, value: Any) -> dict[str, str] | None:
    """Return a mapping of strings to strings as a dict, or None for None."""
    if value is None:
        return None
    if isinstance(value, str):
        reject(f"{name} must be a mapping of strings to strings, not a text: pass json.loads({name})")
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        reject(f"{name} must be a mapping of strings to strings, not {value!r:.200}")
    return {str(key): str(each) for key, each in value.items()}


def with_extra_body(fields: Mapping[str, Any], extra: Any) -> Mapping[str, Any]:
    """Return the fields of a request and extra ones, which replace none of them."""
    if extra is None:
        return fields
    for name in json_object("extra_body", extra):
        if name in fields:
            reject(f"extra_body must not have {name!r}, which is an argument of the call or set by it")
    return {**fields, **extra}


def optional_callable(name: str, value: T) -> T:
    """Return a callable, or None for None."""
    if value is not None and not callable(value):
        reject(f"{name} must be callable, not {value!r:.200}")
    return value


def drop_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def idempotency_key(value: Any) -> str:
    """Return the caller's idempotency key, or a new UUID for None."""
    if value is None:
        return str(uuid4())
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_KEY_LENGTH or not value.isascii() or " " in value:
        reject(f"idempotency_key must be 1 to {_MAX_KEY_LENGTH} printable ASCII characters without blanks")
    if not value.isprintable():
        reject("idempotency_key is sent as a header: it must be printable")
    return value
