"""The figures of bench_bulk.py as one SVG."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

WIDTH, LEFT, ROW, BAR = 860, 250, 22, 14
OURS, OTHERS = "#1f6feb", "#9aa4b2"
STYLE = "text{font:12px system-ui,sans-serif;fill:#57606a}.h{font-weight:600;font-size:13px}"


def plot(figures: dict[str, list[dict[str, Any]]]) -> str:
    """Return the SVG of the measured parts."""
    parts = [*_parts(figures)]
    height = sum(ROW * (len(rows) + 2) for _, rows in parts) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    top = 10
    for title, rows in parts:
        lines.append(f'<text class="h" x="10" y="{top + 14}">{escape(title)}</text>')
        lines += _bars(rows, top + ROW)
        top += ROW * (len(rows) + 2)
    return "\n".join([*lines, "</svg>", ""])


def _parts(figures: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, list[tuple[str, float, str, bool]]]]:
    if rows := figures.get("throughput"):
        yield (
            "ids a second, 64 in flight",
            [(row["name"], row["rate"], f"{row['rate']:.0f}", row["name"] == "cancel_many") for row in rows],
        )
    if rows := figures.get("memory"):
        yield (
            "peak memory of cancel_many, growth in MiB (the scale ends at 32)",
            [(f"{row['ids']:,} ids", row["memory"] / 32, f"{row['memory']:.1f}", True) for row in rows],
        )
    if rows := figures.get("limits"):
        for column, title, form in (
            ("share", "at a limit: share of the possible rate", "{:.0%}"),
            ("refused", "at a limit: rejections (429) per success", "{:.3f}"),
        ):
            yield title, [(_name(row), row[column], form.format(row[column]), _is_ours(row)) for row in rows]


def _name(row: dict[str, Any]) -> str:
    return f"{row['limit']}{', Retry-After' if row['tells'] else ''}: {row['name']}"


def _is_ours(row: dict[str, Any]) -> bool:
    return bool(row["name"] == "cancel_many")


def _bars(rows: Sequence[tuple[str, float, str, bool]], top: int) -> Iterator[str]:
    longest = max(1.0, *(value for _, value, _, _ in rows))
    for number, (name, value, shown, is_ours) in enumerate(rows):
        y = top + number * ROW
        length = max(1.0, value / longest * (WIDTH - LEFT - 80))
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{OURS if is_ours else OTHERS}"/>'
        yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{escape(shown)}</text>'
