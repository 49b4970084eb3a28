"""Modules that `import retab_async` must not load. (Its duration is measured by the benchmark.)"""

import json
import subprocess
import sys

import pytest

UNWANTED = [
    "aiohttp.web",
    "cattrs",
    "click",
    "httpx",
    "opentelemetry",
    "pydantic",
    "retab_async.cli",
    "retab_async.emulator",
    "rich",
    "tenacity",
]


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules loaded by the import, in a fresh interpreter."""
    code = "import sys, json, retab_async; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603 - a constant command
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("name", UNWANTED)
def test_import_does_not_load(loaded: set[str], name: str) -> None:
    assert name not in loaded


def test_import_loads_the_client(loaded: set[str]) -> None:
    assert {"retab_async", "retab_async.client", "aiohttp"} <= loaded
