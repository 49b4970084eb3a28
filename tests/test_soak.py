"""Twenty seconds of the soak, mostly waiting: mixed work among faults, of which nothing is left."""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent.parent / "benchmarks" / "soak.py"


def test_of_mixed_work_among_faults_nothing_is_left() -> None:
    line = [sys.executable, "-W", "error", str(SOAK), "--seconds", "20", "--rate", "8", "--faults", "0.03"]
    soak = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own line

    assert (soak.returncode, soak.stderr) == (0, ""), soak.stdout
    assert soak.stdout.endswith("nothing is wrong\n")
