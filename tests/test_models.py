import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import BARE_PARTITION, BARE_SPLIT, FAILED_SPLIT, FULL_PARTITION, FULL_SPLIT

from retab_async import (
    Extraction,
    FileRef,
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
    Primitive,
    PrimitiveError,
    RetabUsage,
    RunStatus,
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    SplitSubdocumentLikelihood,
    Subdocument,
)
from retab_async.converter import make_structurer, unstructure
from retab_async.errors import SchemaMismatchError
from retab_async.text import bounded_repr

MODELS = [
    FileRef,
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
    Primitive,
    PrimitiveError,
    RetabUsage,
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    SplitSubdocumentLikelihood,
    Subdocument,
]

KNOWN = set(RunStatus)

structure_split = make_structurer(Split)
structure_partition = make_structurer(Partition)


@pytest.mark.parametrize("body", [FULL_SPLIT, FAILED_SPLIT], ids=["completed", "failed"])
def test_a_full_split_structures_and_unstructures_to_the_same_json(body: dict[str, Any]) -> None:
    split = structure_split(body)

    assert unstructure(split) == body


def test_a_full_partition_structures_and_unstructures_to_the_same_json() -> None:
    partition = structure_partition(FULL_PARTITION)

    assert unstructure(partition) == FULL_PARTITION


def test_every_field_of_a_split_has_its_type() -> None:
    split = structure_split(FULL_SPLIT)

    assert split.status is RunStatus.COMPLETED
    assert split.created_at == datetime(2026, 9, 14, 8, 15, 30, 125000, tzinfo=UTC)
    assert split.file == FileRef(id="file_3f9a1c27be04d581", filename="bundle.pdf", mime_type="application/pdf")
    assert split.subdocuments == (
        Subdocument("invoice", description="vendor bill", allow_multiple_instances=True),
        Subdocument("ledger"),
    )
    assert split.output[0] == SplitResult(name="invoice", pages=(1, 2))
    assert split.output[1].regions == (
        SheetRegion(sheet_index=0, sheet_name="2026", row_start=1, row_end=40, col_start=2, header_rows=(1, 2)),
    )
    assert split.consensus is not None
    assert split.consensus.likelihoods == (
        SplitSubdocumentLikelihood(name=1.0, pages=(1.0, 0.67)),
        SplitSubdocumentLikelihood(),
    )
    assert split.consensus.choices == (split.output, ())
    assert split.usage == RetabUsage(credits=15.5)


def test_every_field_of_a_partition_has_its_type() -> None:
    partition = structure_partition(FULL_PARTITION)

    assert partition.key == "account_number"
    assert partition.allow_overlap is False
    assert partition.output == (PartitionChunk(key="ACC-17", pages=(1, 2)), PartitionChunk(key="ACC-29", pages=(3,)))
    assert partition.consensus == PartitionConsensus(
        choices=((PartitionChunk(key="ACC-17", pages=(1, 2, 3)),),),
        likelihoods=(PartitionChunkLikelihood(key=0.5, pages=(1.0, 1.0)),),
    )


def test_failed_run_has_an_error() -> None:
    split = structure_split(FAILED_SPLIT)

    assert split.error == PrimitiveError(
        code="bad_document", message="The document could not be read.", details={"page": 4}
    )


def test_response_of_three_fields_leaves_the_rest_at_their_defaults() -> None:
    assert structure_split(BARE_SPLIT) == Split(id=BARE_SPLIT["id"], status=RunStatus.CANCELLED)
    assert structure_partition(BARE_PARTITION) == Partition(id=BARE_PARTITION["id"], status=RunStatus.CANCELLED)


@pytest.mark.parametrize(
    ("structure", "full"),
    [(structure_split, FULL_SPLIT), (structure_partition, FULL_PARTITION)],
    ids=["split", "partition"],
)
def test_null_and_absent_both_mean_the_default(structure: Any, full: dict[str, Any]) -> None:
    optional = full.keys() - {"id", "status"}
    absent = {name: full[name] for name in ("id", "status")}

    assert structure(absent | dict.fromkeys(optional)) == structure(absent)


@pytest.mark.parametrize(("structure", "full"), [(structure_split, FULL_SPLIT), (structure_partition, FULL_PARTITION)])
@pytest.mark.parametrize("name", ["id", "status"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_missing_id_or_status_is_a_schema_mismatch(structure: Any, full: dict[str, Any], name: str, how: str) -> None:
    body = {key: value for key, value in full.items() if key != name} | ({name: None} if how == "null" else {})
    with pytest.raises(SchemaMismatchError) as caught:
        structure(body)

    assert caught.value.path == name


def test_unknown_keys_are_extra_fields_of_a_run_and_ignored_below_it() -> None:
    grown = FULL_SPLIT | {"project": "p_1", "usage": {"credits": 15.5, "currency": "USD"}}

    assert structure_split(grown) == attrs.evolve(structure_split(FULL_SPLIT), extra={"project": "p_1"})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_model_is_frozen_slotted_and_documented(model: type[attrs.AttrsInstance]) -> None:
    instance = object.__new__(model)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        instance.id = "x"  # type: ignore[attr-defined]  # not every model has one: any name is refused

    assert not hasattr(instance, "__dict__")
    assert model.__doc__


def test_repr_shows_only_the_fields_that_are_set() -> None:
    assert repr(structure_split(BARE_SPLIT)) == (
        "Split(id='splt_7Qd2mK9xVw', status=<RunStatus.CANCELLED: 'cancelled'>)"
    )
    assert repr(structure_split(FULL_SPLIT).output[0]) == "SplitResult(name='invoice', pages=(1, 2))"
    assert repr(Subdocument("invoice")) == "Subdocument(name='invoice')"


@pytest.mark.parametrize("body", [FULL_SPLIT, FAILED_SPLIT], ids=["completed", "failed"])
def test_equal_runs_have_equal_hashes(body: dict[str, Any]) -> None:
    assert len({structure_split(body), structure_split(body)}) == 1


def test_run_survives_pickling() -> None:
    split = structure_split(FAILED_SPLIT | {"status": "on_hold"})
    revived = pickle.loads(pickle.dumps(split))  # noqa: S301 - pickled on the line itself

    assert revived == split
    assert revived.status == RunStatus("on_hold")


def test_time_without_an_offset_is_read_as_utc() -> None:
    split = structure_split(FULL_SPLIT | {"created_at": "2026-09-14T08:15:30"})

    assert split.created_at == datetime(2026, 9, 14, 8, 15, 30, tzinfo=UTC)
    assert unstructure(split)["created_at"] == "2026-09-14T08:15:30Z"


def test_time_keeps_its_offset() -> None:
    split = structure_split(FULL_SPLIT | {"created_at": "2026-09-14T08:15:30+02:00"})

    assert split.created_at == datetime(2026, 9, 14, 6, 15, 30, tzinfo=UTC)
    assert unstructure(split)["created_at"] == "2026-09-14T08:15:30+02:00"


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        ("pending", False),
        ("queued", False),
        ("in_progress", False),
        ("running", False),
        ("awaiting_review", False),
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("error", True),
        ("on_hold", False),
    ],
)
def test_is_terminal_of_each_status(status: str, *, terminal: bool) -> None:
    assert RunStatus(status).is_terminal is terminal


@given(st.text(min_size=1))
def test_unknown_status_equals_its_text(word: str) -> None:
    status = RunStatus(word)

    assert isinstance(status, RunStatus)
    assert status == word
    assert str(status) == status.value == word
    assert hash(status) == hash(word)
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301 - pickled on the line itself
    assert set(RunStatus) == KNOWN


def test_unknown_status_has_a_name() -> None:
    assert RunStatus("on_hold").name == "ON_HOLD"
    assert repr(RunStatus("on_hold")) == "<RunStatus.ON_HOLD: 'on_hold'>"


@pytest.mark.parametrize("value", ["", None, 5, ["completed"]], ids=repr)
def test_value_that_is_not_a_word_is_not_a_status(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid RunStatus"):
        RunStatus(value)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    )
)
def test_bounded_repr_of_a_shallow_value_is_its_repr(value: Any) -> None:
    assert bounded_repr(value, 1000) == repr(value)


def test_bounded_repr_elides_deep_containers() -> None:
    assert bounded_repr({"a": [{"b": [1]}, (2,), ()]}, 2) == "{'a': [{...}, (...), ()]}"


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["arrays", "objects"])
def test_repr_of_deep_output_is_bounded(wrap: Callable[[Any], Any]) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = wrap(deep)
    run = Extraction(id="extr_1", status=RunStatus.COMPLETED, output={"a": deep})

    assert repr(run).startswith("Extraction(id='extr_1'")
    assert "..." in repr(run)
    assert len(repr(run)) < 500


@pytest.mark.slow
def test_deep_output_is_unstructured_without_recursion() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": [deep]}
    run = Extraction(id="extr_1", status=RunStatus.COMPLETED, output=deep)
    copy = unstructure(run)["output"]
    for _ in range(100_000):
        (copy,) = copy["a"]

    assert copy == 1


def test_unstructured_output_is_a_copy() -> None:
    run = Extraction(id="extr_1", status=RunStatus.COMPLETED, output={"a": [{"b": (1, None)}]})
    unstructure(run)["output"]["a"][0]["b"].append(2)

    assert run.output == {"a": [{"b": (1, None)}]}
    assert unstructure(run)["output"] == {"a": [{"b": [1, None]}]}
