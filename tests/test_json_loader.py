"""The JSON loader: large documents in pieces give what the whole gives."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retab_async.json_codec import loads
from retab_async.protocol import json_loader
from retab_async.protocol.json_loader import MAX_DEPTH, JSONLimitError, load_json

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=60,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_loader, "PIECE", 48)
    monkeypatch.setattr(json_loader, "_STRIDE", 20)
    monkeypatch.setattr(json_loader, "_MARKS_AT_ONCE", 0)


def load(document: bytes) -> Any:
    try:
        return loads(document)
    except ValueError:
        return ValueError


@given(JSON, st.sampled_from([None, 1]), st.booleans())
@example(['"' * 100], None, True)  # noqa: FBT003 - drawn
@example([["x" * 100, 2**70, float("inf")], {"\ud800": ["y" * 100]}], None, True)  # noqa: FBT003 - drawn
def test_document_in_pieces_gives_the_value_of_the_whole(value: Any, indent: int | None, is_ascii: bool) -> None:  # noqa: FBT001 - drawn
    document = json.dumps(value, indent=indent, ensure_ascii=is_ascii).encode()

    assert load_json(document) == load(document)


EDITS = st.lists(st.tuples(st.integers(0, 500), st.sampled_from(b'[]{},":\\ 1a'), st.integers(0, 1)), max_size=3)


@given(JSON, EDITS)
@example(["x" * 100], [(102, ord("x"), 1)])
def test_damaged_document_in_pieces_is_damaged_as_a_whole(value: Any, edits: list[tuple[int, int, int]]) -> None:
    document = bytearray(json.dumps(value).encode())
    for at, byte, removed in edits:
        document[at : at + removed] = bytes([byte])

    try:
        found = load_json(bytes(document))
    except ValueError:
        found = ValueError

    assert found == load(bytes(document))


LONG = b'"' + b"x" * 100 + b'"'


@pytest.mark.parametrize(
    "document",
    [
        b"[%b,%b] 1" % (LONG, LONG),
        b"[%b,%b}" % (LONG, LONG),
        b"[%b,]" % LONG,
        b"[[%b] %b]" % (LONG, LONG),
        b"[%b [%b]]" % (LONG, LONG),
        b"{[%b]:1}" % LONG,
        b'{1:[%b],"a":1}' % LONG,
        b"{[%b],%b:1}" % (LONG, LONG),
        b"[%b" % LONG,
        b'"' + b"x" * 100,
        b'["' + b"x" * 100,
        b"%b, %b" % (LONG, LONG),
        b"[%b]]" % LONG,
        b"[[%b],,1]" % LONG,
        b"]" + b" " * 100,
    ],
)
def test_large_document_that_is_not_json_raises_value_error(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_json(document)


@pytest.mark.parametrize(
    "document",
    [b"  %b \n" % LONG, b"[%b]" % (b" " * 100), b"1" * 60, b'{"a" : [%b] , "b": 1}' % LONG, b"\xef\xbb\xbf[%b]" % LONG],
)
def test_large_document_of_one_value_is_read(document: bytes) -> None:
    assert load_json(document) == loads(document)


def test_too_many_values_or_levels_raise_an_error_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    with pytest.raises(JSONLimitError, match="levels"):
        load_json(deep)
    monkeypatch.setattr(json_loader, "MAX_MARKS", 100)
    with pytest.raises(JSONLimitError, match="brackets"):
        load_json(b"[%b]" % b",".join([b"1"] * 200))
