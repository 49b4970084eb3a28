"""The pictures of the README: plots of benchmark figures, and the demo."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the scripts of the benchmarks importable."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("plot_bulk", "demo_svg"):
        sys.modules.pop(name, None)


@pytest.fixture
def figures() -> dict[str, list[dict[str, Any]]]:
    """The figures of the last run."""
    found: dict[str, list[dict[str, Any]]] = json.loads((BENCHMARKS / "figures.json").read_text())["figures"]["bulk"]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("scripts")
class TestPlot:
    @pytest.fixture(autouse=True)
    def _matplotlib(self) -> None:
        pytest.importorskip("matplotlib", reason="the extra bench is not installed")

    def test_every_label_is_inside_the_picture_and_beside_the_others(
        self, figures: dict[str, list[dict[str, Any]]]
    ) -> None:
        text_type = import_module("matplotlib.text").Text
        figures["throughput"].append({"name": "a client with a long name, gathered by tasks", "rate": 1e6})
        figure = import_module("plot_bulk").draw(figures)
        figure.draw_without_rendering()
        shown = [each for each in figure.findobj(text_type) if each.get_text() and each.get_visible()]
        boxes = [each.get_window_extent() for each in shown]
        named = [(each.get_text(), box) for each, box in zip(shown, boxes, strict=True)]

        assert {row["name"] for row in figures["throughput"]} <= {each.get_text() for each in shown}
        assert all(figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1) for box in boxes)
        assert all(figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1) for box in boxes)
        assert not [(one, other) for (one, box), (other, beside) in combinations(named, 2) if box.overlaps(beside)]

    def test_the_same_figures_give_the_same_file(
        self, figures: dict[str, list[dict[str, Any]]], tmp_path: Path
    ) -> None:
        plot = import_module("plot_bulk")
        plot.write(figures, tmp_path / "one.svg")
        plot.write(figures, tmp_path / "two.svg")

        assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()

    def test_figures_of_some_parts_can_be_drawn(self, figures: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
        import_module("plot_bulk").write({"throughput": figures["throughput"]}, tmp_path / "part.svg")

        assert (tmp_path / "part.svg").read_text().startswith("<?xml")


def test_the_plot_shows_the_figures_of_the_last_run(figures: dict[str, list[dict[str, Any]]]) -> None:
    # matplotlib draws text as paths, and names it in a comment.
    shown = re.findall(r"<!-- (.*?) -->", (BENCHMARKS / "bulk.svg").read_text())
    throughput, limits = figures["throughput"], figures["limits"]
    labels = [row["name"] for row in throughput] + [f"{row['rate']:,.0f}" for row in throughput]
    labels += [f"{row['memory']:.1f}" for row in figures["memory"]]
    labels += [f"{row['share']:.0%}" for row in limits] + [f"{row['refused']:.2f}" for row in limits]

    assert not Counter(labels) - Counter(shown), "python benchmarks/plot_bulk.py draws it"


@pytest.mark.usefixtures("scripts")
def test_the_picture_of_the_demo_shows_a_real_run(monkeypatch: pytest.MonkeyPatch) -> None:
    script = import_module("demo_svg")
    monkeypatch.setattr(script, "RUNS", 60)
    svg = script.draw()

    text = re.sub(r"<[^>]*>", "", svg.replace("&#160;", " "))
    assert "$ retab-async demo" in text
    assert re.search(r"\d+/60.*60/60.*finished before", text, re.DOTALL)
