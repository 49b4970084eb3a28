"""Values that fit a JSON Schema, as far as simple schemas go."""

from collections.abc import Callable
from typing import Any

import attrs

MAX_DEPTH = 24
HUGE = 1e15
TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "name@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# In the place of a value that there cannot be: of a schema within itself, or one that is too deep or none at all.
NOTHING = object()


def fitting_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Make up an object for a schema; an empty one where the schema is for something else."""
    value = _Maker(schema).make(schema, "value", ())
    return value if isinstance(value, dict) else {}


@attrs.frozen
class _Maker:
    root: dict[str, Any]

    def make(self, schema: Any, name: str, above: tuple[int, ...]) -> Any:
        """Make a value up; `above` has the schemas that this one is within, so as to end where it is its own part."""
        schema = self._resolved(schema)
        if not isinstance(schema, dict) or id(schema) in above or len(above) > MAX_DEPTH:
            return NOTHING
        if "const" in schema:
            return schema["const"]
        if _list(schema, "enum"):
            return schema["enum"][0]
        within = (*above, id(schema))
        choices = _list(schema, "anyOf") or _list(schema, "oneOf") or _list(schema, "allOf")
        if choices:
            made = (self.make(choice, name, within) for choice in choices)
            return next((value for value in made if value is not None and value is not NOTHING), None)
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
            item = self.make(schema.get("items"), name, within)
            return [] if item is NOTHING or schema.get("maxItems") == 0 else [item] * _least_items(schema)
        simple = SIMPLE.get(kind) if isinstance(kind, str) else None
        return simple(schema) if simple else _text(schema, name)

    def _object(self, schema: dict[str, Any], within: tuple[int, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        entries = properties.items() if isinstance(properties, dict) else ()
        made = {name: self.make(entry, name, within) for name, entry in entries}
        return {name: value for name, value in made.items() if value is not NOTHING}


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
    # Neither what JSON has no number for, nor what no float holds.
    return value if isinstance(value, int | float) and abs(value) < HUGE else None


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
