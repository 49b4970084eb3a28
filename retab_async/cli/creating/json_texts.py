"""JSON, as it is typed: in the line itself, or the path of a file with it."""

from pathlib import Path
from typing import Any

import click
import orjson


def json_from(text: str | bytes) -> Any:
    """Read JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        msg = f"this is no JSON: {error}"
        raise click.BadParameter(msg) from None


def json_object_from(text: str) -> Any:
    """Read a JSON object: what begins with a brace is one, anything else the path of a file."""
    if text.lstrip().startswith("{"):
        return json_from(text)
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        msg = f"{text!r} cannot be read: {error.strerror}"
        raise click.BadParameter(msg) from None
    return json_from(content)
