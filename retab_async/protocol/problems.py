"""Error bodies: finds message, code and details in the formats of the API and its gateways."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

# Compiled on first use: most calls never need it.
_TAG = r"(?is)<(script|style)\b.*?</\1\s*>|<[^<>]*>"
_TEXT_LENGTH = 4096
MESSAGE_LENGTH = 500
# Error bodies nest three or four levels deep; deeper levels hold no message.
_MAX_DEPTH = 8
# Details nested deeper than this are dropped, because printing or pickling them would recurse.
_MAX_DETAILS_DEPTH = 32


class Problem(NamedTuple):
    """Parsed error body: the most specific message, the innermost code, and the details."""

    message: str = ""
    code: str | None = None
    details: Any = None


def read_problem(body: str) -> Problem:
    """Parse an error body, JSON or not.

    The innermost text along `details`, `detail`, `error`, `message` wins over the generic sentence around it.
    """
    found = _walk(_json_or_none(body), 0)
    details = None if exceeds_depth(found.details, _MAX_DETAILS_DEPTH) else found.details
    return Problem(found.message or _plain(body), found.code, details)


def exceeds_depth(value: Any, limit: int) -> bool:
    """Tell whether lists and objects are nested in more than `limit` levels, without recursion."""
    level = [value]
    for _ in range(limit + 1):
        level = [child for parent in level if isinstance(parent, dict | list) for child in _children(parent)]
        if not level:
            return False
    return True


def _children(parent: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent


def _walk(value: Any, depth: int) -> Problem:
    if depth > _MAX_DEPTH:
        return Problem()
    if isinstance(value, str):
        return _walk_text(value, depth)
    if isinstance(value, list):
        texts = [_walk(item, depth + 1).message for item in value]
        return Problem("; ".join(filter(None, texts)), None, value)
    if isinstance(value, dict):
        return _walk_object(value, depth)
    return Problem()


def _walk_text(value: str, depth: int) -> Problem:
    inner = _json_or_none(value)
    return _walk(inner, depth + 1) if isinstance(inner, dict | list) else Problem(_plain(value))


def _walk_object(value: dict[str, Any], depth: int) -> Problem:
    own = value.get("code") if isinstance(value.get("code"), str) else None
    if isinstance(value.get("msg"), str):
        return Problem(_located(value.get("loc"), value["msg"]), own)
    parts = (_walk(value.get(key), depth + 1) for key in ("details", "detail", "error", "message", "title"))
    inner = next((part for part in parts if part.message), Problem())
    listed = _walk(value.get("errors"), depth + 1).message
    message = ": ".join(filter(None, (_located(value.get("location"), inner.message), listed)))
    return Problem(message, inner.code or own, value.get("details") or value.get("errors") or inner.details)


def _located(place: Any, text: str) -> str:
    where = ".".join(str(step) for step in place if isinstance(step, str | int)) if isinstance(place, list) else place
    return f"{where}: {text}" if isinstance(where, str) and where and text else text


def _json_or_none(text: str) -> Any:
    try:
        return orjson.loads(text) if text[:1] in {"{", "["} else None
    except ValueError:
        return None


def _plain(text: str) -> str:
    text = text[:_TEXT_LENGTH].lstrip()
    return " ".join((re.sub(_TAG, " ", text) if text.startswith("<") else text).split())[:MESSAGE_LENGTH]
