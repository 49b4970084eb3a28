"""The figures of the last run of `bench_bulk.py`, drawn with matplotlib: `python benchmarks/plot_bulk.py`.

Reads `benchmarks/figures.json` and writes `benchmarks/bulk.svg`; needs the extra `bench`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
OURS, OTHERS = "#1f6feb", "#9aa4b2"
FIRST = "cancel_many"
# Glyphs as paths, because fonts differ between machines; the same figures give the same file.
STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "bulk",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
}
INCHES_OF_BARS, INCHES_PER_LIMIT = 2.2, 0.26
# Of the scale, in MiB.
MIN_MEMORY = 8.0


def draw(figures: dict[str, list[dict[str, Any]]]) -> Figure:
    """Return the figure: throughput beside memory, and limits below; parts without figures are left out."""
    bars = {
        "ids a second, 64 in flight": [(row["name"], row["rate"]) for row in figures.get("throughput", [])],
        "MiB more than a job of 100 ids": [(f"{row['ids']:,} ids", row["memory"]) for row in figures.get("memory", [])],
    }
    bars = {title: rows for title, rows in bars.items() if rows}
    limits = figures.get("limits", [])
    heights = [*([INCHES_OF_BARS] if bars else []), *([0.5 + INCHES_PER_LIMIT * len(limits)] if limits else [])]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, sum(heights)), layout="constrained")
        parts = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat)
        if bars:
            upper = next(parts).subplots(1, len(bars), squeeze=False).flat
            for axes, (title, rows) in zip(upper, bars.items(), strict=True):
                draw_bars(axes, title, rows)
        if limits:
            left, right = next(parts).subplots(1, 2, sharey=True)
            draw_limits(left, "share of the rate that a limit allows", limits, "share", "{:.0%}")
            draw_limits(right, "rejections (429) per success", limits, "refused", "{:.2f}")
    return figure


def draw_bars(axes: Axes, title: str, bars: list[tuple[str, float]]) -> None:
    """Draw a bar for each name, the first on top."""
    is_memory = "MiB" in title
    colours = [OURS if is_memory or name == FIRST else OTHERS for name, _ in bars]
    drawn = axes.barh(range(len(bars)), [value for _, value in bars], color=colours)
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.bar_label(drawn, [f"{value:.1f}" if is_memory else f"{value:,.0f}" for _, value in bars], padding=3)
    # Small growths are to look small.
    _finish(axes, title, max([MIN_MEMORY if is_memory else 0.0, *(value for _, value in bars)]))


def draw_limits(axes: Axes, title: str, rows: list[dict[str, Any]], column: str, form: str) -> None:
    """Draw the clients at each kind of limit side by side."""
    groups = list(dict.fromkeys((row["limit"], row["tells"]) for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    height = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        values = {(row["limit"], row["tells"]): row[column] for row in rows if row["name"] == name}
        places = [groups.index(group) + height * (number - (len(names) - 1) / 2) for group in values]
        colour = OURS if name == FIRST else OTHERS
        drawn = axes.barh(places, [*values.values()], height=height * 0.9, color=colour, label=name)
        axes.bar_label(drawn, [form.format(value) for value in values.values()], padding=3)
    axes.set_yticks(range(len(groups)), [f"{limit}{', Retry-After' if tells else ''}" for limit, tells in groups])
    _finish(axes, title, max([0.0, *(row[column] for row in rows)]))
    if names and column == "share":
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def _finish(axes: Axes, title: str, largest: float) -> None:
    axes.set_title(title)
    axes.set_xlim(0, (largest or 1.0) * 1.15)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_inverted(True)


def write(figures: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the figures to an SVG file."""
    with mpl.rc_context(STYLE):
        draw(figures).savefig(path, metadata={"Date": None}, facecolor="white")
    # matplotlib ends lines with blanks.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=HERE / "figures.json", help="as `figures.py` writes it")
    parser.add_argument("--svg", type=Path, default=HERE / "bulk.svg")
    options = parser.parse_args()
    write(json.loads(options.json.read_text())["figures"]["bulk"], options.svg)


if __name__ == "__main__":
    main()
