"""The benchmark with real proxies in its short form."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROXIES = Path(__file__).parent.parent / "benchmarks" / "proxies.py"


def run(*names: str, path: str | None = None) -> list[str]:
    """Run scenarios, and return the rows of the table."""
    line = [sys.executable, "-W", "error", str(PROXIES), "--short", *names]
    environment = os.environ if path is None else os.environ | {"PATH": path}
    done = subprocess.run(  # noqa: S603 - our own line
        line, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()[1:]


@pytest.mark.subprocess
def test_scenarios_of_a_missing_proxy_are_skipped_with_the_reason(tmp_path: Path) -> None:
    assert run("nginx-limit", "haproxy-limit", path=str(tmp_path)) == [
        "nginx-limit        skipped: nginx is not installed",
        "haproxy-limit      skipped: haproxy is not installed",
    ]


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("program", "scenarios"), [("nginx", ["limit", "reload", "restart"]), ("haproxy", ["limit", "restart"])]
)
def test_every_id_is_cancelled_through_a_real_proxy(program: str, scenarios: list[str]) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    names = [f"{program}-{scenario}" for scenario in scenarios]
    rows = run(*names)

    assert [row.split()[0] for row in rows] == names
    assert all("cancelled (200: " in row for row in rows)
