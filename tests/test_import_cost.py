"""Lazy imports: what each import loads, and that nothing but the cost of an import shows it."""

import ast
import json
import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import retab_async
from retab_async import bulk, documents, polling, process, resources

# What a client that was just made has no use for yet.
UNUSED = [
    "aiohttp.web",
    "cattrs",
    "click",
    "httpx",
    "opentelemetry",
    "pydantic",
    "retab_async.bulk.job",
    "retab_async.cleanup",
    "retab_async.cli",
    "retab_async.documents",
    "retab_async.emulator",
    "retab_async.journal",
    "retab_async.lifecycles",
    "retab_async.models",
    "retab_async.polling.waiter",
    "retab_async.resources.base",
    "retab_async.resources.splits",
    "retab_async.scope",
    "rich",
    "statistics",
    "tenacity",
]
LAZY_PACKAGES = [retab_async, bulk, documents, polling, process, resources]


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code."""
    code = f"import sys, json\n{code}\nprint()\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(  # noqa: S603 - a constant command
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def loaded_by_client() -> set[str]:
    return loaded_by("from retab_async import AsyncRetab\nAsyncRetab")


@pytest.mark.parametrize("name", UNUSED)
def test_import_of_the_client_does_not_load(loaded_by_client: set[str], name: str) -> None:
    assert name not in loaded_by_client


def test_import_of_the_client_loads_the_client(loaded_by_client: set[str]) -> None:
    assert {"retab_async.client", "aiohttp"} <= loaded_by_client


def test_import_of_the_package_loads_no_other_library_and_no_other_module() -> None:
    loaded = loaded_by("import retab_async")

    assert {name for name in loaded if name.startswith("retab_async")} == {"retab_async", "retab_async.lazy"}
    assert not {"aiohttp", "asyncio", "attr", "logging"} & loaded


def test_first_kind_loads_no_other_kind_and_no_job() -> None:
    loaded = loaded_by(
        "from retab_async import AsyncRetab\nclient = AsyncRetab('k')\nclient.splits\nclient._pool.closed = True"
    )

    assert "retab_async.resources.splits" in loaded
    assert not {"retab_async.resources.edits", "retab_async.lifecycles", "retab_async.bulk.job"} & loaded
    assert not {"retab_async.documents.upload", "retab_async.polling.waiter", "retab_async.journal"} & loaded


def test_core_needs_four_libraries() -> None:
    """The core imports what these install, and nothing else; each integration imports its own library."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    needed = [re.match(r"[\w\[\]-]+", requirement) for requirement in project["dependencies"]]
    assert [name[0] for name in needed if name] == ["aiohttp", "attrs", "cattrs[orjson]", "tenacity"]

    allowed = {"aiohttp", "attr", "attrs", "cattrs", "multidict", "orjson", "tenacity", "yarl", "retab_async"}
    extras = {
        "cli": {"click", "rich"},
        "dask.py": {"distributed"},
        "opentelemetry.py": {"opentelemetry"},
        "pytest_plugin.py": {"pytest"},
        "redis.py": {"redis"},
    }
    package = Path(retab_async.__file__).parent
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).parts
        its_own = extras.get(parts[0]) or extras.get(path.name if parts[0] == "integrations" else "", set())
        others = imports_of(path) - sys.stdlib_module_names - allowed - its_own
        assert not others, (path, others)


def imports_of(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports, those for type checkers included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("package", LAZY_PACKAGES, ids=lambda package: package.__name__)
def test_names_for_type_checkers_are_those_at_run_time(package: Any) -> None:
    (block,) = (
        node
        for node in ast.parse(Path(package.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    checked = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    for name, module in checked.items():
        assert getattr(package, name) is getattr(sys.modules[str(module)], name)
    if package is not resources:
        assert set(package.__all__) - {"__version__"} == set(checked)


def test_dir_lists_names_before_they_are_loaded() -> None:
    code = "import retab_async\nassert {*retab_async.__all__, 'errors', '__name__'} <= {*dir(retab_async)}"

    assert "retab_async.client" not in loaded_by(code)


@pytest.mark.parametrize("package", LAZY_PACKAGES, ids=lambda package: package.__name__)
def test_dir_lists_the_names_and_the_modules_of_a_package(package: Any) -> None:
    names = dir(package)

    assert names == sorted(set(names))
    assert all(hasattr(package, name) for name in names)


def test_class_of_a_client_has_its_resources_as_attributes() -> None:
    names = {"splits", "files", "workflows"}

    assert names <= {*dir(retab_async.AsyncRetab)}
    assert all(getattr(retab_async.AsyncRetab, name).load().__name__ for name in names)


def test_star_import_gives_every_public_name() -> None:
    code = "from retab_async import *\nimport retab_async\nassert {*retab_async.__all__} <= {*globals()}"

    assert "retab_async.client" in loaded_by(code)


def test_unknown_name_raises_as_for_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'retab_async' has no attribute 'AsyncRetap'") as caught:
        _ = retab_async.AsyncRetap  # type: ignore[attr-defined]

    assert (caught.value.name, caught.value.obj) == ("AsyncRetap", retab_async)
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from retab_async import Nothing")  # noqa: S102 - a constant


def test_modules_are_attributes_of_the_package_without_an_import() -> None:
    loaded_by("import retab_async\nassert retab_async.errors.RetabError is retab_async.RetabError")


def test_patch_by_a_dotted_name_reaches_a_module_that_is_not_loaded() -> None:
    code = """
from unittest import mock
with mock.patch("retab_async.cleanup.RESERVED", 4):
    from retab_async.cleanup import RESERVED
    assert RESERVED == 4
with mock.patch("retab_async.AsyncRetab", None):
    from retab_async import AsyncRetab
    assert AsyncRetab is None
from retab_async import AsyncRetab
assert AsyncRetab.__module__ == "retab_async.client"
"""
    assert "retab_async.client" in loaded_by(code)


def test_instances_are_unpickled_by_a_process_that_has_loaded_nothing() -> None:
    run = retab_async.Split(id="splt_1", status=retab_async.RunStatus.CANCELLED)
    code = f"import pickle\nassert pickle.loads({pickle.dumps(run)!r}).status.is_terminal"

    assert "retab_async.resources.splits" in loaded_by(code)


@pytest.mark.parametrize(
    "method", [retab_async.Splits.cancel_many, retab_async.Splits.wait_many, retab_async.Edits.cancel_matching]
)
def test_annotations_that_name_lazy_classes_resolve(method: Any) -> None:
    hints = get_type_hints(method)

    assert getattr(hints["return"], "__origin__", None) in {retab_async.CancelJob, retab_async.WaitIterator}


def test_subclass_of_a_client_with_annotations_has_no_further_members() -> None:
    class Client(retab_async.AsyncRetab):
        team: str
        label: "str" = "x"

    client = Client("sk_...")
    client._pool.closed = True

    assert client.label == "x"
    assert not hasattr(client, "team")
