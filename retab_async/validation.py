"""What a caller's arguments must be for the API to take them, checked before anything is sent."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from uuid import uuid4

import orjson

from retab_async.errors import InvalidRequestError

_LONGEST_KEY = 255
# Of what every reader of JSON takes for a whole number.
_LARGEST = 2**53


def reject(reason: str) -> NoReturn:
    """Raise the `InvalidRequestError` that says why."""
    raise InvalidRequestError(reason)


def non_blank_str(name: str, value: Any) -> str:
    """Return a text that is not blank; an enum's member stands for its word."""
    if not utf8_str(name, value).strip():
        reject(f"{name} must be a text that is not blank, not {value!r:.200}")
    return utf8_str(name, value)


def utf8_str(name: str, value: Any) -> str:
    """Return a text, which may be blank, but can be written as UTF-8."""
    if not isinstance(value, str):
        reject(f"{name} must be a text, not {value!r:.200}")
    # Of a member of an enum, str() gives its name.
    told = str.__str__(value)
    try:
        told.encode()
    except UnicodeEncodeError:
        reject(f"{name} must be a text that can be sent as UTF-8, not {value!r:.200}")
    return told


def optional_str(name: str, value: Any) -> str | None:
    """Return a text that is not blank, or None for None."""
    return None if value is None else non_blank_str(name, value)


def bounded_int(name: str, value: Any, *, least: int, most: int) -> int:
    """Return a whole number within its bounds, both of which it may be."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        reject(f"{name} must be a whole number from {least} to {most}, not {value!r:.200}")
    return value


def optional_int(name: str, value: Any, *, least: int) -> int | None:
    """Return a whole number that is not too small, or None for None."""
    return None if value is None else bounded_int(name, value, least=least, most=_LARGEST)


def strict_bool(name: str, value: Any) -> bool:
    """Return True or False; nothing else is taken for either."""
    if not isinstance(value, bool):
        reject(f"{name} must be True or False, not {value!r:.200}")
    return value


def one_of(name: str, value: Any, words: Sequence[str]) -> str:
    """Return one of these words."""
    if not isinstance(value, str) or value not in words:
        reject(f"{name} must be {' or '.join(map(repr, words))}, not {value!r:.200}")
    return str(value)


def non_empty_list(name: str, value: Any, what: str) -> Sequence[Any]:
    """Return a list or tuple of at least one of what is named; a text is none, nor is what can be read only once."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        reject(f"{name} must be a list of at least one {what}, not {value!r:.200}")
    return value


def json_object(name: str, value: Any) -> Mapping[str, Any]:
    """Return a mapping that can be sent as JSON."""
    if not isinstance(value, Mapping):
        reject(f"{name} must be a mapping, not {value!r:.200}")
    try:
        orjson.dumps(dict(value))
    except TypeError as error:
        reject(f"{name} cannot be sent as JSON: {error}")
    return value


def str_dict(name: str, value: Any) -> dict[str, str] | None:
    """Return a mapping of texts to texts, or None for None."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        reject(f"{name} must be a mapping of texts to texts, not {value!r:.200}")
    return {str(key): str(each) for key, each in value.items()}


def drop_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are told: those that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def idempotency_key(value: Any) -> str:
    """Return the caller's key, or a new one where there is none: what is sent twice under it is done once."""
    if value is None:
        return str(uuid4())
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_KEY or not value.isascii() or " " in value:
        reject(f"idempotency_key must be 1 to {_LONGEST_KEY} printable letters of ASCII with no blank among them")
    if not value.isprintable():
        reject("idempotency_key is sent as a header: it must be printable")
    return value
