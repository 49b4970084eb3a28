"""Reading a request's JSON by declared fields, gathering everything that is wrong with it before refusing.

A reader takes a value and its place in the body. It gives the value back, with the defaults of nested objects filled
in, and adds what is wrong to the list it was handed.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
from aiohttp import web

from retab_async.emulator.answers import HTTPError, problem

Loc: TypeAlias = tuple[str | int, ...]
Problems: TypeAlias = list[dict[str, Any]]
Reader: TypeAlias = Callable[[Any, Loc, Problems], Any]

SHA_256 = re.compile("[a-fA-F0-9]{64}")


@attrs.frozen
class Field:
    """A key of a JSON object; one that is not `required` may be absent or null, and then has its `default`."""

    name: str
    read: Reader
    required: bool = attrs.field(default=False, kw_only=True)
    default: Any = attrs.field(default=None, kw_only=True)


def any_text(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a string, empty or not."""
    if not isinstance(value, str):
        problems.append(problem(loc, "Input should be a valid string", "string_type"))
    return value


def filled_text(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a string that holds more than white space."""
    if isinstance(any_text(value, loc, problems), str) and not value.strip():
        problems.append(problem(loc, "String should not be blank", "string_too_short"))
    return value


def sha256_hex(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a SHA-256 digest in hexadecimal, of either case."""
    if isinstance(any_text(value, loc, problems), str) and not SHA_256.fullmatch(value):
        problems.append(problem(loc, f"String should match '{SHA_256.pattern}'", "string_pattern_mismatch"))
    return value


def document_url(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read where a document's bytes are: inside a `data:` URL, or behind an https one."""
    if isinstance(any_text(value, loc, problems), str) and not value.lower().startswith(("data:", "https://")):
        problems.append(problem(loc, "URL scheme should be 'data' or 'https'", "url_scheme"))
    return value


def flag(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read true or false."""
    if not isinstance(value, bool):
        problems.append(problem(loc, "Input should be a valid boolean", "bool_type"))
    return value


def whole_number(low: int, high: int) -> Reader:
    """Make the reader of an integer from `low` to `high`."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        # True is an int to Python; to JSON it is not.
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(problem(loc, "Input should be a valid integer", "int_type"))
        elif not low <= value <= high:
            problems.append(problem(loc, f"Input should be from {low} to {high}", "out_of_range"))
        return value

    return read


def any_object(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read an object with whatever is in it."""
    if not isinstance(value, dict):
        problems.append(problem(loc, "Input should be a valid object", "dict_type"))
    return value


def object_of(*fields: Field) -> Reader:
    """Make the reader of an object with these fields; keys it does not know are dropped."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if not isinstance(any_object(value, loc, problems), dict):
            return value
        return {field.name: _read_field(field, value, loc, problems) for field in fields}

    return read


def _read_field(field: Field, source: dict[str, Any], loc: Loc, problems: Problems) -> Any:
    place = (*loc, field.name)
    if field.required and field.name not in source:
        problems.append(problem(place, "Field required", "missing"))
        return None
    value = source.get(field.name)
    if value is None and not field.required:
        return field.default
    return field.read(value, place, problems)


def filled_object(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read an object with something in it."""
    if any_object(value, loc, problems) == {}:
        problems.append(problem(loc, "Object should not be empty", "too_short"))
    return value


def map_of(item: Reader) -> Reader:
    """Make the reader of an object with any keys, and values of one sort."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if not isinstance(any_object(value, loc, problems), dict):
            return value
        return {name: item(entry, (*loc, name), problems) for name, entry in value.items()}

    return read


def one_of(*words: str) -> Reader:
    """Make the reader of one of these words."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if value not in words:
            problems.append(problem(loc, f"Input should be one of {', '.join(words)}", "enum"))
        return value

    return read


def tagged(**variants: tuple[Field, ...]) -> Reader:
    """Make the reader of an object whose `type` tells which fields it has."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        tag = value.get("type") if isinstance(any_object(value, loc, problems), dict) else None
        if not isinstance(tag, str) or tag not in variants:
            problems.append(
                problem((*loc, "type"), f"Input should be one of {', '.join(variants)}", "union_tag_invalid")
            )
            return value
        return {"type": tag, **object_of(*variants[tag])(value, loc, problems)}

    return read


def list_of(item: Reader, least: int = 1) -> Reader:
    """Make the reader of a list with at least so many entries."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if not isinstance(value, list):
            problems.append(problem(loc, "Input should be a valid list", "list_type"))
            return value
        if len(value) < least:
            problems.append(problem(loc, f"List should have at least {least} item", "too_short"))
        return [item(entry, (*loc, place), problems) for place, entry in enumerate(value)]

    return read


MAX_BODY = 32 * 1024 * 1024


async def read_json(request: web.BaseRequest) -> Any:
    """Read the JSON of a request, or refuse it for its size or its form."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPError(413, "Request body is larger than 32 MiB.")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise HTTPError(422, [problem(("body",), "JSON decode error", "json_invalid")]) from None


def read_asked(fields: tuple[Field, ...], body: Any) -> dict[str, Any]:
    """Read the fields of a request's JSON, or refuse it with everything that is wrong with it."""
    problems: Problems = []
    asked: dict[str, Any] = object_of(*fields)(body, ("body",), problems)
    if problems:
        raise HTTPError(422, problems)
    return asked
