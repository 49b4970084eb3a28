"""The types are checked by `mypy --strict` on `typing/public_types.py`; here, that nothing is left out of it."""

import ast
from pathlib import Path

import attrs
import pytest

import retab_async
from retab_async.resources import RESOURCES

_CHECKED = Path(__file__).parent / "typing" / "public_types.py"
_MENTIONED = {node.attr for node in ast.walk(ast.parse(_CHECKED.read_text())) if isinstance(node, ast.Attribute)}

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
