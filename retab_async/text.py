"""Text for logs and reprs: one line, no control characters, bounded depth."""

from typing import Any

# Results of the API nest a few levels; what a server nests deeper is not shown.
MAX_REPR_DEPTH = 20


def single_line(text: str) -> str:
    """Replace line breaks, control characters and runs of blanks by single spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def bounded_repr(value: Any, depth: int = MAX_REPR_DEPTH) -> str:
    """Return `repr(value)` with JSON containers below `depth` levels shown as `...`."""
    kind = type(value)
    if kind not in _BRACKETS or not value:
        return repr(value)
    start, end = _BRACKETS[kind]
    if depth == 0:
        return f"{start}...{end}"
    if kind is dict:
        items = [f"{key!r}: {bounded_repr(each, depth - 1)}" for key, each in value.items()]
    else:
        items = [bounded_repr(each, depth - 1) for each in value]
    comma = "," if kind is tuple and len(items) == 1 else ""
    return f"{start}{', '.join(items)}{comma}{end}"


_BRACKETS: dict[type, tuple[str, str]] = {dict: ("{", "}"), list: ("[", "]"), tuple: ("(", ")")}
