"""Runs the benchmarks in their short form, keeps their figures in one file, and writes the tables of the pages from it.

    python benchmarks/figures.py [NAME ...] [--full] [--tables]

Without names it runs all benchmarks, about ten minutes; `--full` uses their long form. `--tables` only writes the
tables, from the figures of the last run. A page says `<!-- figures: NAME -->` where the table NAME belongs.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Figures = dict[str, Any]

HERE = Path(__file__).parent
FILE = HERE / "figures.json"
GUIDES = HERE.parent / "retab_async" / "guides"
PAGES = (HERE.parent / "README.md", GUIDES / "performance.md")
BENCHMARKS = ("cancel", "bulk", "import", "documents", "wait")
_MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def measure(name: str, *, full: bool) -> Any:
    """Run one benchmark in its own process, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        line = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(file), *(() if full else ("--short",))]
        subprocess.run(line, check=True)  # noqa: S603 - our own line
        return json.loads(file.read_text())


def machine() -> dict[str, str]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "cores": str(os.cpu_count()),
    }


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def wait(figures: Figures) -> str:
    heads = ["1,000 waits", "requests", "mean seconds after the end of the run", "CPU seconds"]
    rows = [
        [f"`{name}`" if "." in name else name, f"{each['requests']:,}", f"{each['mean_late']:.1f}", f"{each['cpu']:.1f}"]
        for name, each in figures["wait"].items()
    ]
    return table(heads, rows)


def documents(figures: Figures) -> str:
    heads = ["file", "", "memory MiB", "event loop blocked, ms", "seconds"]
    rows = [
        [f"{size} MiB", name, f"{each['memory']:.1f}", f"{each['worst_lag']:.0f}", f"{each['seconds']:.2f}"]
        for size, contestants in figures["documents"].items()
        for name, each in contestants.items()
    ]
    return table(heads, rows)


TABLES: dict[str, Callable[[Figures], str]] = {"wait": wait, "documents": documents}


def written(page: str, figures: Figures) -> str:
    """Return a page with the tables of these figures."""
    return _MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]](figures)}{found[3]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--full", action="store_true", help="the long form of each benchmark")
    parser.add_argument("--tables", action="store_true", help="only write the tables")
    options = parser.parse_args()
    figures: Figures = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in () if options.tables else options.names or BENCHMARKS:
        figures[name] = {**measure(name, full=options.full), "machine": machine()}
        FILE.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    for page in PAGES:
        page.write_text(written(page.read_text(), figures))


if __name__ == "__main__":
    main()
