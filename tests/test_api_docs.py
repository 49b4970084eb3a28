"""The documentation that is rendered from the docstrings."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pdoc", reason="pdoc is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]

INTEGRATIONS = ("asgi", "dask", "opentelemetry", "pytest_plugin", "redis")
MODULES = ("emulator", "testing", *(f"integrations.{name}" for name in INTEGRATIONS))


def test_pdoc_renders_the_public_modules_without_a_warning(tmp_path: Path) -> None:
    modules = ["retab_async", *(f"retab_async.{name}" for name in MODULES)]
    line = [sys.executable, "-m", "pdoc", *modules, "-o", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - our own package

    assert (done.returncode, done.stderr) == (0, "")
    pages = {"/".join(page.relative_to(tmp_path).with_suffix("").parts) for page in tmp_path.rglob("*.html")}
    assert pages == {"index", *(module.replace(".", "/") for module in modules)}
