"""Sample values for simple JSON Schemas."""

from collections.abc import Callable
from typing import Any

import attrs

MAX_DEPTH = 24
MAX_NUMBER = 1e15
TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "name@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# In place of a value for a recursive, too deep or invalid schema.
NO_VALUE = object()


def sample_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Generate an object for a schema; an empty one if the schema is not for an object."""
    value = _SampleBuilder(schema).build(schema, "value", ())
    return value if isinstance(value, dict) else {}


@attrs.frozen
class _SampleBuilder:
    root: dict[str, Any]

    def build(self, schema: Any, name: str, above: tuple[int, ...]) -> Any:
        """Generate a value; `above` are the ids of the enclosing schemas, to stop at recursion."""
        schema = self._resolved(schema)
        if not isinstance(schema, dict) or id(schema) in above or len(above) > MAX_DEPTH:
            return NO_VALUE
        if "const" in schema:
            return schema["const"]
        if _list(schema, "enum"):
            return schema["enum"][0]
        within = (*above, id(schema))
        choices = _list(schema, "anyOf") or _list(schema, "oneOf") or _list(schema, "allOf")
        if choices:
            made = (self.build(choice, name, within) for choice in choices)
            return next((value for value in made if value is not None and value is not NO_VALUE), None)
        return self._of_type(schema, name, within)

    def _resolved(self, schema: Any) -> Any:
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        target: Any = self.root
        for part in reference.removeprefix("#").split("/")[1:]:
            target = target.get(part) if isinstance(target, dict) else None
        return target

    def _of_type(self, schema: dict[str, Any], name: str, within: tuple[int, ...]) -> Any:
        kind = _type(schema)
        if kind == "object":
            return self._object(schema, within)
        if kind == "array":
            item = self.build(schema.get("items"), name, within)
            return [] if item is NO_VALUE or schema.get("maxItems") == 0 else [item] * _least_items(schema)
        simple = SIMPLE.get(kind) if isinstance(kind, str) else None
        return simple(schema) if simple else _text(schema, name)

    def _object(self, schema: dict[str, Any], within: tuple[int, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        entries = properties.items() if isinstance(properties, dict) else ()
        made = {name: self.build(entry, name, within) for name, entry in entries}
        return {name: value for name, value in made.items() if value is not NO_VALUE}


def _type(schema: dict[str, Any]) -> Any:
    named = schema.get("type")
    if isinstance(named, list):
        return next((one for one in named if one != "null"), "null")
    if named is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return named


def _list(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _bound(schema: dict[str, Any], key: str) -> float | None:
    value = schema.get(key)
    # Excludes NaN, infinities and numbers beyond a float.
    return value if isinstance(value, int | float) and abs(value) < MAX_NUMBER else None


def _number(schema: dict[str, Any]) -> float:
    value: float = 1
    if (least := _bound(schema, "minimum")) is not None:
        value = max(value, least)
    if (below := _bound(schema, "exclusiveMinimum")) is not None and value <= below:
        value = below + 1
    if (most := _bound(schema, "maximum")) is not None:
        value = min(value, most)
    if (above := _bound(schema, "exclusiveMaximum")) is not None and value >= above:
        value = above - 1
    return value


def _least_items(schema: dict[str, Any]) -> int:
    return max(1, min(100, int(_bound(schema, "minItems") or 1)))


def _text(schema: dict[str, Any], name: str) -> str:
    form = schema.get("format")
    if isinstance(form, str) and form in TEXTS:
        return TEXTS[form]
    least, most = _bound(schema, "minLength"), _bound(schema, "maxLength")
    text = name.ljust(min(1000, int(least or 0)), ".")
    return text if most is None else text[: int(most)]


SIMPLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "number": lambda schema: float(_number(schema)),
    "integer": lambda schema: int(_number(schema)),
    "boolean": lambda _: True,
    "null": lambda _: None,
}
