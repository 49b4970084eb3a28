import sys
from typing import TYPE_CHECKING, Any

import pytest
from clients import ONCE, client_for
from hypothesis import example, given, settings
from hypothesis import strategies as st
from payloads import FULL_PARTITION, FULL_SPLIT
from raw_server import raw_server, reply

from retab_async import (
    ConfigurationError,
    Partition,
    RetabUsage,
    RunStatus,
    Split,
    SplitConsensus,
    SplitResult,
    Subdocument,
)
from retab_async.converter import make_structurer, structure_leniently
from retab_async.errors import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

_PLACES = ["id", "status", "error", "created_at", "file", "subdocuments", "output", "consensus", "usage", "key"]


@st.composite
def bent(draw: st.DrawFn, full: dict[str, Any]) -> Any:
    """Draw a full body with arbitrary JSON in the place of some of its values, at any depth."""

    def bend(value: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(JSON)
        if isinstance(value, dict):
            return {key: bend(item) for key, item in value.items()}
        return [bend(item) for item in value] if isinstance(value, list) else value

    return bend(full)


@pytest.mark.slow
@settings(max_examples=50)
@given(JSON | bent(FULL_SPLIT) | st.dictionaries(st.sampled_from(_PLACES), JSON))
@example({"id": "splt_1", "status": "completed", "created_at": "9999-99-99"})
@example({"id": "splt_1", "status": "completed", "n_consensus": 1e308})
@example({"id": "splt_1", "status": "completed", "usage": {"credits": 10**400}})
def test_any_json_structures_or_is_a_schema_mismatch(value: Any) -> None:
    try:
        made = make_structurer(Split)(value)
    except SchemaMismatchError as error:
        assert error.reason in str(error)  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert isinstance(made, Split)


@pytest.mark.slow
@settings(max_examples=50)
@given(bent(FULL_PARTITION) | st.dictionaries(st.sampled_from(_PLACES), JSON))
@example({"id": "prtn_1", "status": "completed", "usage": {"credits": 10**400}})
def test_lenient_structuring_fails_only_for_id_and_status(value: Any) -> None:
    if not isinstance(value, dict):
        value = {"id": value}
    try:
        run, invalid = structure_leniently(value, Partition)
    except SchemaMismatchError as error:
        assert error.path in {"id", "status"}  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert run.id == value["id"]
        assert run.status == value["status"]
        assert all(each.path for each in invalid)


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        ({"subdocuments": [{"name": "a"}, {"name": "b"}, {"name": None}]}, "subdocuments[2].name", "a string"),
        ({"subdocuments": [{"description": "a"}]}, "subdocuments[0].name", "missing"),
        ({"subdocuments": "invoice"}, "subdocuments", "an array was expected, not a string"),
        ({"subdocuments": ["invoice"]}, "subdocuments[0]", "an object was expected, not a string"),
        (
            {"subdocuments": [{"name": "a", "allow_multiple_instances": 1}]},
            None,
            "a boolean was expected, not a number",
        ),
        ({"output": [{"name": "a", "pages": "12"}]}, "output[0].pages", "an array was expected, not a string"),
        ({"output": [{"name": "a", "pages": [1, "2"]}]}, "output[0].pages[1]", "an integer was expected"),
        ({"output": [{"name": "a", "pages": [1.5]}]}, "output[0].pages[0]", "an integer was expected"),
        ({"output": [{"name": "a", "pages": [True]}]}, "output[0].pages[0]", "not a boolean"),
        ({"output": {}}, "output", "an array was expected, not an object"),
        ({"usage": {"credits": "15"}}, "usage.credits", "a number was expected, not a string"),
        ({"usage": {"credits": True}}, "usage.credits", "a number was expected, not a boolean"),
        ({"usage": 15}, "usage", "an object was expected, not a number"),
        ({"error": "no"}, "error", "an object was expected, not a string"),
        ({"error": {"code": "a", "message": "b", "details": []}}, "error.details", "an object was expected"),
        ({"created_at": 1789373730}, "created_at", "a string was expected, not a number"),
        ({"created_at": "yesterday"}, "created_at", "an RFC 3339 time was expected, not a string"),
        ({"status": 5}, "status", "a status word was expected, not a number"),
        ({"status": ""}, "status", "a status word was expected"),
        ({"id": 5}, "id", "a string was expected, not a number"),
        ({"consensus": {"choices": [[{"pages": [1]}]]}}, "consensus.choices[0][0].name", "missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_mismatch_names_its_path_and_reason(change: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(SchemaMismatchError, match=reason) as caught:
        make_structurer(Split)(FULL_SPLIT | change)

    assert caught.value.path == (path or "subdocuments[0].allow_multiple_instances")


@pytest.mark.parametrize(
    ("value", "name"), [([], "an array"), (None, "null"), ("x", "a string"), (True, "a boolean"), (1.5, "a number")]
)
def test_mismatch_of_the_whole_value_has_an_empty_path(value: Any, name: str) -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        make_structurer(Split)(value)

    assert caught.value.path == ""
    assert str(caught.value) == f"an object was expected, not {name}"


def test_value_outside_json_is_named_by_its_type() -> None:
    with pytest.raises(SchemaMismatchError, match="an object was expected, not tuple"):
        make_structurer(Split)(())


def test_mismatch_never_quotes_the_value() -> None:
    """A garbled answer may hold the caller's key anywhere."""
    for place in FULL_SPLIT.keys() - {"id", "status", "model", "instructions"}:
        with pytest.raises(SchemaMismatchError) as caught:
            make_structurer(Split)(FULL_SPLIT | {place: "sk_live_secret_0123456789"})

        assert "sk_live" not in str(caught.value)


def test_integral_float_structures_as_an_integer() -> None:
    split = make_structurer(Split)(FULL_SPLIT | {"n_consensus": 3.0, "usage": {"credits": 15}})

    assert split.n_consensus == 3
    assert type(split.n_consensus) is int
    assert split.usage is not None
    assert type(split.usage.credits) is float


def test_valid_object_has_no_invalid_fields() -> None:
    split, invalid = structure_leniently(FULL_SPLIT, Split)

    assert split == make_structurer(Split)(FULL_SPLIT)
    assert invalid == ()


def test_invalid_field_has_its_default_and_is_reported() -> None:
    body = FULL_SPLIT | {"usage": {"credits": "many"}, "output": "none", "n_consensus": None}
    split, invalid = structure_leniently(body, Split)

    assert split.usage == RetabUsage()
    assert split.output == ()
    assert split.n_consensus == 1
    assert split.status is RunStatus.COMPLETED
    assert {each.path for each in invalid} == {"usage.credits", "output"}
    assert body["output"] == "none"


def test_invalid_value_costs_the_innermost_optional_field() -> None:
    body = FULL_SPLIT | {
        "output": [{"name": "a", "pages": "1-2"}, {"name": "b", "pages": [3]}],
        "subdocuments": [{"name": "a"}, {"description": "no name"}],
        "consensus": {"likelihoods": [0.9], "choices": [[{"name": "a", "pages": [1]}]]},
    }
    split, invalid = structure_leniently(body, Split)

    assert split.output == (SplitResult(name="a"), SplitResult(name="b", pages=(3,)))
    assert split.subdocuments == ()
    assert split.consensus == SplitConsensus(choices=((SplitResult(name="a", pages=(1,)),),))
    assert [str(each) for each in invalid] == [
        "subdocuments[1].name: missing",
        "output[0].pages: an array was expected, not a string",
        "consensus.likelihoods[0]: an object was expected, not a number",
    ]


def test_missing_status_fails_lenient_structuring() -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        structure_leniently({"id": "splt_1", "status": 5}, Split)

    assert caught.value.path == "status"


@pytest.mark.parametrize("call", ["cancel", "get", "create", "list", "wait", "running"])
async def test_converter_that_cannot_be_imported_fails_before_sending(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "retab_async.converter", None)
    fields: dict[str, Any] = {"document": b"%PDF", "subdocuments": [Subdocument("invoice")]}
    async with raw_server(reply(FULL_SPLIT)) as server, client_for(server.url, retry=ONCE) as client:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "cancel": lambda: client.splits.cancel("splt_1"),
            "get": lambda: client.splits.get("splt_1"),
            "create": lambda: client.splits.create(**fields),
            "list": lambda: anext(aiter(client.splits.list())),
            "wait": lambda: client.splits.wait("splt_1"),
            "running": client.splits.running(**fields).__aenter__,
        }
        with pytest.raises(ConfigurationError, match="install the versions that retab_async requires"):
            await calls[call]()

        assert server.requests == []
