"""Runs the benchmarks in their short form, keeps their figures in one file, and writes the tables and the plot from it.

    python benchmarks/figures.py [NAME ...] [--full] [--tables]

Without names it runs all benchmarks, about ten minutes; `--full` uses their long form. `--tables` only writes the
tables and the plot, from the figures of the last run. A page has `<!-- figures: NAME -->` in the place of a table.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Row = dict[str, Any]

HERE = Path(__file__).parent
FILE = HERE / "figures.json"
GUIDES = HERE.parent / "retab_async" / "guides"
PAGES = (HERE.parent / "README.md", GUIDES / "performance.md")
BENCHMARKS = ("bulk", "cancel", "cluster", "documents", "import", "process", "shared", "wait")
BY_HAND, CANCEL, BULK, OFFICIAL = "aiohttp by hand", "splits.cancel", "cancel_many", "official"
ANSWERS = {
    "three": "three fields",
    "full": "all fields",
    "gzip": "three fields, gzip",
    "chunked": "three fields, chunked",
}
_MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def measure(name: str, *, full: bool) -> Any:
    """Run one benchmark in its own process, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        line = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(file), *(() if full else ("--short",))]
        # Some exit with 1 if a figure is below what it should be, and write it all the same.
        subprocess.run(line, check=False)
        return json.loads(file.read_text())


def machine() -> dict[str, str]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "cores": str(os.cpu_count()),
    }


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def row_of(rows: list[Row], **values: object) -> Row | None:
    """Return the row with these values, None without one."""
    return next((row for row in rows if values.items() <= row.items()), None)


def ratio_of(rows: list[Row], figure: str, **values: object) -> str:
    row = row_of(rows, **values)
    return f"{row[figure]:.2f}" if row else "-"


def contest(rows: list[Row], name: str) -> str:
    """Return the table of a contestant: relative to hand-written aiohttp, by calls a second and by CPU time a call."""
    scenarios = list(dict.fromkeys((row["answer"], row["in_flight"]) for row in rows))
    heads = ["response", "in flight", "calls, stock loop", "calls, uvloop", "CPU, stock loop", "CPU, uvloop"]
    return table(
        heads,
        (
            [
                ANSWERS[answer],
                str(in_flight),
                *(
                    ratio_of(rows, figure, contestant=name, answer=answer, in_flight=in_flight, loop=loop)
                    for figure in ("ratio", "cpu_ratio")
                    for loop in ("asyncio", "uvloop")
                ),
            ]
            for answer, in_flight in scenarios
        ),
    )


def connections(figures: Figures) -> str:
    rows = (
        [row["loop"], f"`{row['contestant']}`", f"{row['idle']:.0f}", f"{row['busy']:.0f}"]
        for row in figures["cancel"]["memory"]
    )
    return table(["loop", "100 connections", "idle, KiB", "busy, KiB"], rows)


def limits(figures: Figures) -> str:
    heads = ["limit", "`Retry-After`", "", "of the possible rate", "429s per success"]
    rows = (
        [row["limit"], "yes" if row["tells"] else "no", row["name"], f"{row['share']:.0%}", f"{row['refused']:.2f}"]
        for row in figures["bulk"]["limits"]
    )
    return table(heads, rows)


def imports(figures: Figures) -> str:
    rows = (
        [f"`{row['name']}`", f"{row['milliseconds']:.0f}", f"{row['ratio']:.2f} x `{row['to']}`"]
        for row in figures["import"]["import"]
    )
    return table(["", "ms", "ratio"], rows)


def wait(figures: Figures) -> str:
    heads = ["1,000 waits", "requests", "mean seconds after the end of the run", "CPU seconds"]
    rows = (
        [f"`{name}`", f"{each['requests']:,}", f"{each['mean_late']:.1f}", f"{each['cpu']:.1f}"]
        for name, each in figures["wait"].items()
    )
    return table(heads, rows)


def documents(figures: Figures) -> str:
    heads = ["file", "", "memory MiB", "event loop blocked, ms", "seconds"]
    rows = (
        [f"{size} MiB", name, f"{each['memory']:.1f}", f"{each['worst_lag']:.0f}", f"{each['seconds']:.2f}"]
        for size, contestants in figures["documents"].items()
        for name, each in contestants.items()
    )
    return table(heads, rows)


def shared(figures: Figures) -> str:
    heads = ["four processes", "work", "of the possible rate", "429s per success"]
    rows = ([row["way"], row["work"], f"{row['share']:.1%}", f"{row['refused']:.3f}"] for row in figures["shared"])
    return table(heads, rows)


def named(found: dict[str, float]) -> str:
    return table(["", ""], ([name, f"{value:,.2f}".removesuffix(".00")] for name, value in found.items()))


def cluster(figures: Figures) -> str:
    rows = (
        [name, *(f"{each[label]:.1f}".removesuffix(".0") for label in ("seconds", "429 responses", "sent twice"))]
        for name, each in figures["cluster"].items()
    )
    return table(["four Dask workers", "seconds", "429 responses", "sent twice"], rows)


def readme(figures: Figures) -> str:
    """Return the figures of the comparison in the README."""
    calls = figures["cancel"]["cancel"]

    def cancel_row(answer: str) -> list[str]:
        scenario: Row = {"answer": answer, "in_flight": 50, "loop": "asyncio"}
        ours, official = (row_of(calls, contestant=name, **scenario) for name in (CANCEL, OFFICIAL))
        title = f"cancels a second, {ANSWERS[answer]} (`bench_cancel.py`)"
        return [
            title,
            f"{ours['ratio']:.1f} x" if ours else "-",
            f"{official['ratio']:.2f} x" if official else "-",
            "1",
        ]

    def file_row() -> list[str]:
        names = figures["documents"]["64"]
        memory = {name: f"{each['memory']:.0f} MiB" for name, each in names.items()}
        return [
            "memory to create a run from 64 MiB (`bench_documents.py`)",
            memory["retab_async"],
            memory.get(OFFICIAL, "-"),
            "-",
        ]

    def wait_row() -> list[str]:
        requests = {name: f"{each['requests']:,}" for name, each in figures["wait"].items()}
        return [
            "requests for 1,000 waits (`bench_wait.py`)",
            requests["splits.wait"],
            "-",
            requests["splits.get in a loop"],
        ]

    return table(
        ["measured", "`retab_async`", "official client", "aiohttp by hand"],
        [cancel_row("three"), cancel_row("full"), file_row(), wait_row()],
    )


TABLES: dict[str, Callable[[Figures], str]] = {
    "cancel": lambda figures: contest(figures["cancel"]["cancel"], CANCEL),
    "cancel-many": lambda figures: contest(figures["bulk"]["cancel_many"], BULK),
    "cluster": cluster,
    "connections": connections,
    "documents": documents,
    "import": imports,
    "limits": limits,
    "process": lambda figures: named(figures["process"]),
    "readme": readme,
    "shared": shared,
    "wait": wait,
}


def written(page: str, figures: Figures) -> str:
    """Return a page with the tables of these figures."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](figures)}\n{found[3]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--full", action="store_true", help="the long form of each benchmark")
    parser.add_argument("--tables", action="store_true", help="only write the tables and the plot")
    options = parser.parse_args()
    last: dict[str, Figures] = json.loads(FILE.read_text()) if FILE.exists() else {"figures": {}, "machines": {}}
    for name in () if options.tables else options.names or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        last["figures"][name] = measure(name, full=options.full)
        last["machines"][name] = machine()
        FILE.write_text(json.dumps(last, indent=1, sort_keys=True) + "\n")
    for page in PAGES:
        page.write_text(written(page.read_text(), last["figures"]))
    subprocess.run([sys.executable, str(HERE / "plot_bulk.py")], check=True)


if __name__ == "__main__":
    main()
