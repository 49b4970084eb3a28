"""The tables of figures in README and guides are those of the last run of the benchmarks."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", BENCHMARKS / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()
FIGURES = json.loads(SCRIPT.FILE.read_text())["figures"]


@pytest.mark.parametrize("page", SCRIPT.PAGES, ids=lambda page: page.name)
def test_tables_of_a_page_are_those_of_the_last_run(page: Path) -> None:
    text = page.read_text()

    assert text == SCRIPT.written(text, FIGURES), "python benchmarks/figures.py --tables writes them"


def test_every_table_is_on_a_page_and_every_benchmark_in_a_table() -> None:
    marked = {name for page in SCRIPT.PAGES for name in re.findall(r"<!-- figures: ([\w-]+) -->", page.read_text())}

    assert marked == set(SCRIPT.TABLES)
    assert set(SCRIPT.BENCHMARKS) == set(FIGURES)
    assert {path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")} == set(FIGURES)


def test_changed_figures_change_the_tables() -> None:
    page = "<!-- figures: wait -->\nold\n<!-- end of figures -->"
    figures = {"wait": {"splits.wait": {"requests": 90, "mean_late": 2.125, "cpu": 1.0}}}

    assert "| `splits.wait` | 90 | 2.1 | 1.0 |" in SCRIPT.written(page, figures)
