"""Generated structure functions give the results, and the errors, of cattrs' own."""

import pickle
import traceback
import weakref
from abc import ABCMeta
from collections.abc import Mapping
from inspect import isabstract
from typing import Any, ClassVar

import attrs
import pytest
from fuzzing import budget
from hypothesis import example, given
from hypothesis import strategies as st
from payloads_kinds import FULL, STATES, body
from test_converter import JSON, bent

import retab_async
from retab_async import converter
from retab_async.errors import SchemaMismatchError
from retab_async.exact_structure import exact_structure_fn
from retab_async.resources import RESOURCES

GENERATED, CATTRS = converter.make_converter(), converter.make_converter(with_generated=False)
MODELS = {
    model.__name__: model
    for model in (getattr(retab_async, name) for name in sorted(retab_async.__all__))
    if isinstance(model, type) and attrs.has(model) and issubclass(model, retab_async.models.SparseRepr)
} | {resource.run_type.__name__: resource.run_type for resource in RESOURCES.values()}
EVERY_BODY = [(kind, body(kind, state)) for kind, states in STATES.items() for state in states] + list(FULL.items())


def outcome(of: Any, value: object, model: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """The instance, or the path and reason; and what lenient structuring makes of the same value."""
    monkeypatch.setattr(converter, "_converter", lambda: of)
    try:
        strict: object = converter.make_structurer(model)(value)
    except SchemaMismatchError as error:
        strict = error.path, error.reason
    try:
        instance, removed = converter.structure_leniently(value, model)
    except SchemaMismatchError as error:
        return strict, error.path, error.reason
    return strict, instance, [(each.path, each.reason) for each in removed]


def assert_equal_outcomes(value: object, model: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        expected = outcome(CATTRS, value, model, monkeypatch)
        made = outcome(GENERATED, value, model, monkeypatch)
    # By their repr, because 1, True and 1.0 are equal, and NaN is not.
    assert repr(made) == repr(expected)


@pytest.mark.parametrize(("kind", "value"), EVERY_BODY)
def test_documented_bodies_give_equal_results(kind: str, value: dict[str, Any]) -> None:
    assert_equal_outcomes(value, RESOURCES[kind].run_type)


@pytest.mark.slow
@budget(60)
@given(st.sampled_from(EVERY_BODY).flatmap(lambda pair: st.tuples(st.just(pair[0]), bent(pair[1]))))
@example(("splits", {"id": "splt_1", "status": "archived"}))
@example(("splits", {"id": "splt_1", "status": []}))
@example(("splits", {"id": "splt_1", "status": "completed", "n_consensus": True}))
@example(("splits", {"id": "splt_1", "status": "completed", "n_consensus": 2.0, "usage": {"credits": 10**400}}))
@example(("splits", {"id": "splt_1", "status": "completed", "output": [{"name": "a", "pages": [1, "2"]}]}))
@example(("splits", {"id": "splt_1", "status": "completed", "output": [], "consensus": {"choices": [[], [{}]]}}))
def test_any_body_gives_equal_results(pair: tuple[str, Any]) -> None:
    assert_equal_outcomes(pair[1], RESOURCES[pair[0]].run_type)


@pytest.mark.slow
@budget(100)
@given(st.sampled_from(list(MODELS.values())), st.data())
def test_any_json_gives_equal_results_for_every_model(model: Any, data: st.DataObject) -> None:
    names = [field.name for field in attrs.fields(model)]

    assert_equal_outcomes(data.draw(JSON | st.dictionaries(st.sampled_from(names), JSON)), model)


@pytest.mark.parametrize("more", [{"error": None}, {"error": {"code": "x"}}, {"error": 5}, {"zzz": 1}, {}])
@pytest.mark.parametrize("kind", sorted(RESOURCES))
def test_shortest_answers_give_equal_results(kind: str, more: dict[str, Any]) -> None:
    for name in ("status", "lifecycle"):
        assert_equal_outcomes({"id": "run_1", name: "cancelled", **more}, RESOURCES[kind].run_type)


def fail(value: Any, kind: Any) -> Any:
    raise AssertionError(value, kind)


@pytest.mark.parametrize("name", sorted(name for name, model in MODELS.items() if not isabstract(model)))
def test_every_model_has_a_generated_function(name: str) -> None:
    assert exact_structure_fn(MODELS[name], GENERATED, fail) is not fail


class Registered(retab_async.Split):
    """Knows its subclasses."""

    names: ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        cls.names.append(cls.__name__)


class Registry(ABCMeta):
    """Knows its classes."""

    names: ClassVar[list[str]] = []

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        super().__init__(name, bases, members)
        cls.names.append(name)


class OfRegistered(Registered):
    """In the list of its base."""


class OfRegistry(retab_async.Split, metaclass=Registry):
    """In the list of its metaclass."""


@pytest.mark.parametrize("cls", [retab_async.models.Run, OfRegistered, OfRegistry])
def test_class_whose_instances_cannot_be_filled_is_left_to_the_converter(cls: Any) -> None:
    assert exact_structure_fn(cls, GENERATED, fail) is fail


def test_subclass_of_a_registering_class_is_registered_once() -> None:
    for cls in (OfRegistered, OfRegistry):
        assert type(cls.from_dict({"id": "splt_1", "status": "queued"})) is cls
        assert cls.names == [cls.__name__]


@attrs.frozen
class WeaklyReferenced:
    """Has a slot for weak references of its own, so that before Python 3.12 no instance can become one of it."""

    name: str


def test_class_with_a_slot_for_weak_references_is_structured() -> None:
    assert GENERATED.structure({"name": "n"}, WeaklyReferenced) == WeaklyReferenced("n")


class Plain(retab_async.Split):
    """Has a `__dict__`."""


class Cached(retab_async.Split):
    """Has a slot whose name is private."""

    __slots__ = ("__cache",)


@attrs.frozen(kw_only=True)
class Noted(retab_async.Split):
    """Has a field more."""

    note: str = ""


@pytest.mark.parametrize("cls", [Plain, Cached, Noted])
def test_subclass_of_a_model_is_structured(cls: type[retab_async.Split]) -> None:
    run = cls.from_dict({"id": "splt_1", "status": "queued", "note": "n"})

    assert type(run) is cls
    assert attrs.evolve(run) == pickle.loads(pickle.dumps(run)) == run  # noqa: S301 - made here


def test_no_other_subclass_has_the_name_of_a_model() -> None:
    GENERATED.structure({"id": "splt_1", "status": "queued"}, retab_async.Split)
    named = [cls for cls in retab_async.models.Primitive.__subclasses__() if cls.__name__ == "Split"]

    assert named == [retab_async.Split]


def test_instance_is_frozen_and_of_its_class() -> None:
    run = GENERATED.structure({"id": "splt_1", "status": "queued"}, retab_async.Split)

    assert type(run) is retab_async.Split
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        run.model = "other"  # type: ignore[misc]
    assert weakref.ref(run)() is run
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301 - made here


@pytest.mark.parametrize("value", [{"id": "splt_1"}, {"id": "splt_1", "status": "queued", "usage": 1}])
def test_frames_of_a_mismatch_hold_no_part_of_an_instance(value: object) -> None:
    with pytest.raises(Exception, match="structuring Split") as caught:
        GENERATED.structure(value, retab_async.Split)

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "made" not in {name for frame in shown.stack for name in frame.locals or {}}
    assert caught.value.__context__ is None


def test_default_of_a_factory_is_not_shared() -> None:
    first, second = (GENERATED.structure({"id": "b", "status": "queued"}, retab_async.FileBlueprint) for _ in range(2))

    assert first.output == {}
    assert first.output is not second.output


@attrs.frozen(weakref_slot=False)
class Counted:
    """Has a field of each type that has code of its own."""

    names: tuple[str, ...]
    flags: tuple[bool, ...] = ()
    shares: tuple[float, ...] = ()
    extra: Mapping[str, Any] | None = None
    limits: Mapping[str, float] = attrs.field(factory=dict)


@pytest.mark.parametrize(
    "value",
    [
        {"names": ["a", "b"], "flags": [True], "shares": [1, 0.5], "extra": {"a": 1}, "limits": {"a": 1}},
        {"names": [], "flags": None, "shares": None, "extra": None, "limits": None},
        {"names": ["a", 1]},
        {"names": None},
        {"names": "ab"},
        {"names": [], "flags": [1]},
        {"names": [], "shares": ["1"]},
        {"names": [], "shares": {}},
        {"names": [], "extra": []},
        {"names": [], "limits": {"a": "b", "c": None}},
        {},
        [],
    ],
)
def test_each_field_type_gives_equal_results(value: object) -> None:
    assert_equal_outcomes(value, Counted)


def _positive(_: object, __: object, value: int) -> None:
    if value <= 0:
        raise ValueError(value)


@attrs.define
class Validated:
    count: int = attrs.field(default=1, validator=_positive)


@attrs.define
class Converted:
    count: int = attrs.field(default=1, converter=abs)


@attrs.define
class Renamed:
    _count: int = 1


@attrs.define(slots=False)
class Unslotted:
    count: int = 1


@attrs.define
class Completed:
    count: int = 1

    def __attrs_post_init__(self) -> None:
        self.count += 1


@attrs.define
class Computed:
    count: int = attrs.field(default=1, init=False)


@pytest.mark.parametrize("cls", [Validated, Converted, Renamed, Unslotted, Completed, Computed])
def test_class_whose_init_does_more_than_assign_is_left_to_cattrs(cls: type) -> None:
    def fallback(value: Any, kind: Any) -> Any:
        raise AssertionError(value, kind)

    assert exact_structure_fn(cls, GENERATED, fallback) is fallback
