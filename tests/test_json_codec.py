import json
import math
from typing import Any

import orjson
import pytest
from clients import ONCE, client_for
from hypothesis import given
from hypothesis import strategies as st
from payloads_kinds import FULL
from raw_server import raw_server, reply

from retab_async import InvalidRequestError
from retab_async.json_codec import dumps, dumps_any, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters().map(lambda c: c + "\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
BIG = 1234567890123456789012


def same(one: Any, other: Any) -> bool:
    """Equal, with NaN equal to itself and integers different from floats."""
    return repr(one) == repr(other)


@pytest.mark.slow
@given(JSON)
def test_loads_reads_what_the_standard_library_reads(value: Any) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ensure_ascii)
        data = text.encode(errors="surrogatepass")

        assert same(loads(data), json.loads(data))


@pytest.mark.parametrize(
    "data",
    [
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"NaN",
        b"[Infinity, -Infinity]",
        b"1e400",
        b"-1e400",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"1234567890123456789012",
        b"-9999999999999999999",
        b"18446744073709551616",
        b'{"a":9223372036854775808,"b":[-9223372036854775809]}',
        b"1234567890123456789012.5",
        b"0.1234567890123456789012",
        b'"1234567890123456789012"',
        b" 1" + b"0" * 400,
    ],
)
def test_loads_reads_what_orjson_does_not(data: bytes) -> None:
    assert same(loads(data), json.loads(data))


@given(st.integers(min_value=-(10**40), max_value=10**40), st.integers(0, 12))
def test_integers_are_read_exactly_at_any_position(number: int, offset: int) -> None:
    data = b" " * offset + json.dumps({"account": number, "rows": [number]}).encode()

    assert loads(data) == {"account": number, "rows": [number]}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1,]", b"hello", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000]
)
def test_loads_raises_a_value_error_for_everything_else(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        loads(data)


@pytest.mark.slow
@given(st.recursive(st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_dumps_writes_integers_of_any_size(value: Any) -> None:
    assert json.loads(dumps(value)) == value


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, object(), [BIG, object()], [BIG, "\ud800"], [BIG, math.nan]])
def test_dumps_raises_a_type_error_for_what_cannot_be_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


@given(JSON)
def test_dumps_any_writes_whatever_loads_returns(value: Any) -> None:
    def without_nan(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: without_nan(each) for key, each in item.items()}
        if isinstance(item, list):
            return [without_nan(each) for each in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    assert loads(dumps_any(value)) == without_nan(value)


@pytest.mark.slow
def test_dumps_any_writes_nested_values_of_any_depth() -> None:
    deep: Any = BIG
    for _ in range(50_000):
        deep = {"a": [1, deep]}

    assert dumps_any(deep) == b'{"a":[1,' * 50_000 + str(BIG).encode() + b"]}" * 50_000


def test_ordinary_bodies_are_parsed_by_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", None)

    for body in FULL.values():
        assert loads(orjson.dumps(body)) == body


async def test_integers_of_any_size_in_a_response_and_a_request() -> None:
    body = FULL["extractions"] | {"output": {"account": BIG, "ratio": 0.5}, "json_schema": {"maximum": BIG}}
    async with raw_server(reply(json.dumps(body).encode())) as server, client_for(server.url, retry=ONCE) as client:
        run = await client.extractions.get(body["id"])
        await client.extractions.create(document=b"%PDF-1.7", json_schema=run.json_schema)
        sent = json.loads(server.requests[-1].body)

    assert run.output == {"account": BIG, "ratio": 0.5}
    assert sent["json_schema"] == {"maximum": BIG}
    assert sent["document"]["url"].startswith("data:application/pdf;base64,")


@pytest.mark.parametrize(
    ("text", "value"),
    [('"\\ud800"', "\ud800"), ("NaN", math.nan), ("-Infinity", -math.inf), ("1e400", math.inf)],
)
async def test_values_outside_orjson_in_a_response(text: str, value: object) -> None:
    body = json.dumps(FULL["extractions"] | {"output": {"total": "VALUE"}}).replace('"VALUE"', text)
    async with raw_server(reply(b"\xef\xbb\xbf" + body.encode())) as server, client_for(server.url) as client:
        run = await client.extractions.get(FULL["extractions"]["id"])

    assert same(run.output["total"], value)


async def test_lone_surrogate_in_a_request_is_rejected() -> None:
    async with client_for("http://127.0.0.1:1") as client:
        with pytest.raises(InvalidRequestError, match="cannot be sent as JSON"):
            await client.extractions.create(document=b"%PDF", json_schema={"title": "\ud800"})
