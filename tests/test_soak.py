"""Twenty seconds of mixed work among faults, after which nothing is left."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parent.parent / "benchmarks" / "soak.py"


@pytest.mark.soak
@pytest.mark.subprocess
def test_mixed_work_among_faults_leaves_nothing_behind() -> None:
    line = [sys.executable, "-W", "error", str(SOAK), "--seconds", "20", "--rate", "8", "--faults", "0.03"]
    soak = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own line

    assert (soak.returncode, soak.stderr) == (0, ""), soak.stdout
    assert soak.stdout.endswith("nothing is wrong\n")
