"""What `import retab_async` must not bring along. (How long it takes is measured by the benchmark.)"""

import json
import subprocess
import sys

import pytest

UNWANTED = [
    "aiohttp.web",
    "cattrs",
    "click",
    "httpx",
    "pydantic",
    "retab_async.cli",
    "retab_async.emulator",
    "rich",
    "tenacity",
]


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that are loaded after the import, in an interpreter of their own."""
    code = "import sys, json, retab_async; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603 - our own line
    return set(json.loads(told.stdout))


@pytest.mark.parametrize("name", UNWANTED)
def test_importing_the_client_does_not_bring(loaded: set[str], name: str) -> None:
    assert name not in loaded


def test_importing_the_client_brings_the_client(loaded: set[str]) -> None:
    assert {"retab_async", "retab_async.client", "aiohttp"} <= loaded
