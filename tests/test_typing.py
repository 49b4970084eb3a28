"""Completeness of `typing/public_types.py`, which mypy and pyright check."""

import ast
import sys
from inspect import signature
from pathlib import Path

import attrs
import pytest

import retab_async
from retab_async.resources import RESOURCES

_CHECKED = Path(__file__).parent / "typing" / "public_types.py"
_NODES = list(ast.walk(ast.parse(_CHECKED.read_text())))
_MENTIONED = {node.attr for node in _NODES if isinstance(node, ast.Attribute)}
_KEYWORDS = {
    (node.func.id, keyword.arg)
    for node in _NODES
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    for keyword in node.keywords
}
_CONSTRUCTED = [
    retab_async.AsyncRetab,
    retab_async.Category,
    retab_async.EditConfig,
    retab_async.FileRef,
    retab_async.MIMEData,
    retab_async.RateLimit,
    retab_async.RetryPolicy,
    retab_async.Subdocument,
    retab_async.UploadedFile,
]

_MODELS = [
    kind
    for kind in (getattr(retab_async, name) for name in retab_async.__all__)
    if isinstance(kind, type) and attrs.has(kind) and kind is not retab_async.RetryPolicy
]


def test_package_has_a_py_typed_marker() -> None:
    assert (Path(retab_async.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("model", _MODELS, ids=lambda model: model.__name__)
def test_type_of_every_public_field_is_checked(model: type[attrs.AttrsInstance]) -> None:
    fields = {field.name for field in attrs.fields(model)}

    assert fields <= _MENTIONED


@pytest.mark.parametrize("kind", RESOURCES)
def test_type_of_every_resource_method_is_checked(kind: str) -> None:
    calls = {name for name in dir(RESOURCES[kind]) if not name.startswith("_")} - {"path", "run_type", "spec"}

    assert calls <= _MENTIONED


@pytest.mark.parametrize("cls", _CONSTRUCTED, ids=lambda cls: cls.__name__)
def test_type_of_every_constructor_parameter_is_checked(cls: type) -> None:
    assert {(cls.__name__, name) for name in signature(cls).parameters} <= _KEYWORDS


def test_every_class_of_a_kind_is_public() -> None:
    modules = {sys.modules[resource.__module__] for resource in RESOURCES.values()}
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    own = {cls.__name__ for cls in classes if cls.__module__ in {module.__name__ for module in modules}}

    assert own <= set(retab_async.__all__)
