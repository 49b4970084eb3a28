"""What a caller's arguments must be for the API to take them, checked before anything is sent."""

from typing import Any, NoReturn
from uuid import uuid4

from retab_async.errors import InvalidRequestError

_LONGEST_KEY = 255


def refuse(reason: str) -> NoReturn:
    """Raise the `InvalidRequestError` that says why."""
    raise InvalidRequestError(reason)


def text(name: str, value: Any) -> str:
    """Return a text that is not blank; an enum's member stands for its word."""
    if not any_text(name, value).strip():
        refuse(f"{name} must be a text that is not blank, not {value!r:.200}")
    return any_text(name, value)


def any_text(name: str, value: Any) -> str:
    """Return a text, which may be blank, but can be written as UTF-8."""
    if not isinstance(value, str):
        refuse(f"{name} must be a text, not {value!r:.200}")
    # Of a member of an enum, str() gives its name.
    told = str.__str__(value)
    try:
        told.encode()
    except UnicodeEncodeError:
        refuse(f"{name} must be a text that can be sent as UTF-8, not {value!r:.200}")
    return told


def text_or_none(name: str, value: Any) -> str | None:
    """Return a text that is not blank, or None for None."""
    return None if value is None else text(name, value)


def whole_number(name: str, value: Any, *, least: int, most: int) -> int:
    """Return a whole number within its bounds, both of which it may be."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(f"{name} must be a whole number from {least} to {most}, not {value!r:.200}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return True or False; nothing else is taken for either."""
    if not isinstance(value, bool):
        refuse(f"{name} must be True or False, not {value!r:.200}")
    return value


def idempotency_key(value: Any) -> str:
    """Return the caller's key, or a new one where there is none: what is sent twice under it is done once."""
    if value is None:
        return str(uuid4())
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_KEY or not value.isascii() or " " in value:
        refuse(f"idempotency_key must be 1 to {_LONGEST_KEY} printable letters of ASCII with no blank among them")
    if not value.isprintable():
        refuse("idempotency_key is sent as a header: it must be printable")
    return value
