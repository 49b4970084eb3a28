"""The load benchmark in its short form."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOAD = Path(__file__).parent.parent / "benchmarks" / "load.py"


@pytest.mark.slow
@pytest.mark.subprocess
def test_the_short_form_measures_each_named_scenario() -> None:
    line = [sys.executable, "-W", "error", str(LOAD), "--short", "cancels", "blocks-0", "waits"]
    load = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own line

    assert (load.returncode, load.stderr) == (0, ""), load.stdout
    heading, *rows = load.stdout.splitlines()
    assert heading.split() == ["scenario", "wall", "s", "peak", "MiB", "grown", "MiB", "lag", "ms", "result"]
    assert [row.split()[0] for row in rows] == ["cancels", "blocks-0", "waits"]
    assert rows[0].endswith("200 cancelled")
    assert "0 unconfirmed" in rows[1]
    assert rows[2].endswith("100 completed")
