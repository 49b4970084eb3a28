"""JSON loader that never holds the GIL for long: large documents are parsed in pieces.

orjson is fast, but holds the GIL until it is done: 60 MB of small objects would stop the event loop for seconds, even
from another thread. A pure Python scan finds the containers that are larger than a piece, and where they can be cut.
"""

import re
from itertools import pairwise
from typing import Any, NamedTuple

from retab_async.json_codec import loads

PIECE = 256 * 1024
# Documents of no more bytes and brackets and commas are parsed at once, in a tenth of a second.
_BYTES_AT_ONCE = 16 * 1024 * 1024
_MARKS_AT_ONCE = 150_000
# Brackets and commas; bounds the memory: 60 MB of `[],` would take more than a gigabyte.
MAX_MARKS = 1_000_000
MAX_DEPTH = 200

_TOKEN = re.compile(rb'[\[\]{},"]')
# Bytes that one search may pass over.
_STRIDE = 1024 * 1024
_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}
_QUOTE, _COMMA, _BACKSLASH = b'",\\'
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class _Large(NamedTuple):
    end: int
    cuts: list[int]
    children: list[int]


class _Open:
    __slots__ = ("children", "cuts", "is_cut_next", "last_comma", "last_cut", "start")

    def __init__(self, start: int) -> None:
        self.start = self.last_cut = self.last_comma = start
        self.cuts: list[int] = []
        self.children: list[int] = []
        self.is_cut_next = False

    def comma(self, at: int) -> None:
        self.last_comma = at
        if self.is_cut_next or at - self.last_cut >= PIECE:
            self.cut(at)

    def cut(self, at: int) -> None:
        if at > self.last_cut:
            self.cuts.append(at)
            self.last_cut = at
        self.is_cut_next = False

    def isolate(self, child: int) -> None:
        self.cut(self.last_comma)
        self.children.append(child)
        self.is_cut_next = True


class JSONLimitError(ValueError):
    """A document of more values or levels than are read."""


def load_json(body: bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        JSONLimitError: A large document has too many values or levels.
        ValueError: It is not JSON.
    """
    if len(body) <= PIECE or (len(body) <= _BYTES_AT_ONCE and sum(map(body.count, b"[{,")) <= _MARKS_AT_ONCE):
        return loads(body)
    body = body.removeprefix(_BOM)
    start = len(body) - len(body.lstrip(_BLANK))
    large = _find_large(body)
    root = large.get(start)
    if root is None:
        # A single string or number, or not JSON.
        return loads(body)
    if body[root.end + 1 :].strip(_BLANK):
        msg = "unexpected data after the document"
        raise ValueError(msg)
    return _build(body, large, start)


def _find_large(body: bytes) -> dict[int, _Large]:
    large: dict[int, _Large] = {}
    stack: list[_Open] = []
    position = marks = 0
    while position < len(body):
        found = _TOKEN.search(body, position, position + _STRIDE)
        if found is None:
            position += _STRIDE
            continue
        at, position = found.start(), found.end()
        token = body[at]
        if token == _QUOTE:
            position = _end_of_string(body, position)
        elif token in _CLOSING:
            stack.append(_Open(at))
            marks += 1
        elif not stack:
            break
        elif token == _COMMA:
            stack[-1].comma(at)
            marks += 1
        else:
            _close(body, stack, at, large)
        if marks > MAX_MARKS or len(stack) > MAX_DEPTH:
            msg = f"the answer has more than {MAX_MARKS} brackets and commas, or {MAX_DEPTH} levels"
            raise JSONLimitError(msg)
    return large


def _close(body: bytes, stack: list[_Open], at: int, large: dict[int, _Large]) -> None:
    closed = stack.pop()
    if body[at] != _CLOSING[body[closed.start]]:
        msg = "a bracket is closed by one of another kind"
        raise ValueError(msg)
    if at - closed.start > PIECE:
        large[closed.start] = _Large(at, closed.cuts, closed.children)
        if stack:
            stack[-1].isolate(closed.start)


def _end_of_string(body: bytes, position: int) -> int:
    while (quote := body.find(b'"', position)) >= 0:
        slash = quote
        while body[slash - 1] == _BACKSLASH:
            slash -= 1
        if (quote - slash) % 2 == 0:
            return quote + 1
        position = quote + 1
    return len(body)


def _build(body: bytes, large: dict[int, _Large], start: int) -> Any:
    end, cuts, children = large[start]
    bounds = [start, *cuts, end]
    values: list[Any] = []
    members: dict[str, Any] = {}
    is_object = body[start] == ord("{")
    rest = iter((*children, len(body)))
    child = next(rest)
    for first, last in pairwise(bounds):
        piece = slice(first + 1, last)
        if cuts and not body[piece].strip(_BLANK):
            msg = "a comma is followed by no value"
            raise ValueError(msg)
        if child < last:
            key = _key_before(body[first + 1 : child], is_object=is_object)
            if body[large[child].end + 1 : last].strip(_BLANK):
                msg = "a value is followed by no comma"
                raise ValueError(msg)
            value = _build(body, large, child)
            if is_object:
                members[key] = value
            else:
                values.append(value)
            child = next(rest)
        elif is_object:
            members.update(loads(b"{%b}" % body[piece]))
        else:
            values += loads(b"[%b]" % body[piece])
    return members if is_object else values


def _key_before(text: bytes, *, is_object: bool) -> str:
    if not is_object:
        if text.strip(_BLANK):
            msg = "a value is preceded by no comma"
            raise ValueError(msg)
        return ""
    name, colon, blank = text.rpartition(b":")
    key = loads(name) if colon and not blank.strip(_BLANK) else None
    if not isinstance(key, str):
        msg = "a value has no key"
        raise ValueError(msg)  # noqa: TRY004 - it is not JSON
    return key
