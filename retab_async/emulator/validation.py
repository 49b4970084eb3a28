"""Request validation: declared fields, checked together, so that a 422 lists every problem.

A reader takes a value, its location in the body and a list of problems. It returns the value, with the defaults of
nested objects filled in, and appends what is wrong to the list.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
from aiohttp import web

from retab_async.emulator.responses import HTTPError, problem

Loc: TypeAlias = tuple[str | int, ...]
Problems: TypeAlias = list[dict[str, Any]]
Reader: TypeAlias = Callable[[Any, Loc, Problems], Any]

SHA_256 = re.compile("[a-fA-F0-9]{64}")


@attrs.frozen
class Field:
    """Field of a JSON object; one that is not `required` may be absent or null, and then has its `default`."""

    name: str
    read: Reader
    required: bool = attrs.field(default=False, kw_only=True)
    default: Any = attrs.field(default=None, kw_only=True)


def any_str(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a string, empty or not."""
    if not isinstance(value, str):
        problems.append(problem(loc, "Input should be a valid string", "string_type"))
    return value


def non_blank_str(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a string that is not blank."""
    if isinstance(any_str(value, loc, problems), str) and not value.strip():
        problems.append(problem(loc, "String should not be blank", "string_too_short"))
    return value


def sha256_hex(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a SHA-256 digest in hexadecimal, of either case."""
    if isinstance(any_str(value, loc, problems), str) and not SHA_256.fullmatch(value):
        problems.append(problem(loc, f"String should match '{SHA_256.pattern}'", "string_pattern_mismatch"))
    return value


def document_url(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read the URL of a document: `data:` or https."""
    if isinstance(any_str(value, loc, problems), str) and not value.lower().startswith(("data:", "https://")):
        problems.append(problem(loc, "URL scheme should be 'data' or 'https'", "url_scheme"))
    return value


def boolean(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read a boolean."""
    if not isinstance(value, bool):
        problems.append(problem(loc, "Input should be a valid boolean", "bool_type"))
    return value


def bounded_int(low: int, high: int) -> Reader:
    """Make the reader of an integer from `low` to `high`, inclusive."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        # True is an int in Python, but not in JSON.
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(problem(loc, "Input should be a valid integer", "int_type"))
        elif not low <= value <= high:
            problems.append(problem(loc, f"Input should be from {low} to {high}", "out_of_range"))
        return value

    return read


def any_object(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read an object of any content."""
    if not isinstance(value, dict):
        problems.append(problem(loc, "Input should be a valid object", "dict_type"))
    return value


def object_of(*fields: Field) -> Reader:
    """Make the reader of an object with these fields; unknown keys are dropped."""

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


def non_empty_object(value: Any, loc: Loc, problems: Problems) -> Any:
    """Read an object that is not empty."""
    if any_object(value, loc, problems) == {}:
        problems.append(problem(loc, "Object should not be empty", "too_short"))
    return value


def map_of(item: Reader) -> Reader:
    """Make the reader of an object with any keys, and values for `item`."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if not isinstance(any_object(value, loc, problems), dict):
            return value
        return {name: item(entry, (*loc, name), problems) for name, entry in value.items()}

    return read


def one_of(*choices: str) -> Reader:
    """Make the reader of an enumeration."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if value not in choices:
            problems.append(problem(loc, f"Input should be one of {', '.join(choices)}", "enum"))
        return value

    return read


def tagged(**variants: tuple[Field, ...]) -> Reader:
    """Make the reader of a tagged union: an object whose `type` determines its fields."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        tag = value.get("type") if isinstance(any_object(value, loc, problems), dict) else None
        if not isinstance(tag, str) or tag not in variants:
            problems.append(
                problem((*loc, "type"), f"Input should be one of {', '.join(variants)}", "union_tag_invalid")
            )
            return value
        return {"type": tag, **object_of(*variants[tag])(value, loc, problems)}

    return read


def list_of(item: Reader, min_items: int = 1) -> Reader:
    """Make the reader of a list with at least `min_items` entries."""

    def read(value: Any, loc: Loc, problems: Problems) -> Any:
        if not isinstance(value, list):
            problems.append(problem(loc, "Input should be a valid list", "list_type"))
            return value
        if len(value) < min_items:
            problems.append(problem(loc, f"List should have at least {min_items} item", "too_short"))
        return [item(entry, (*loc, place), problems) for place, entry in enumerate(value)]

    return read


MAX_BODY = 32 * 1024 * 1024


async def read_json(request: web.BaseRequest) -> Any:
    """Read the JSON body of a request; rejects one that is too large or malformed."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPError(413, "Request body is larger than 32 MiB.")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise HTTPError(422, [problem(("body",), "JSON decode error", "json_invalid")]) from None


def parse_body(fields: tuple[Field, ...], body: Any) -> dict[str, Any]:
    """Validate the JSON body of a request; the 422 lists every problem."""
    problems: Problems = []
    values: dict[str, Any] = object_of(*fields)(body, ("body",), problems)
    if problems:
        raise HTTPError(422, problems)
    return values
