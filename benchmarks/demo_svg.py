"""A picture of `retab-async demo`, exported by rich from a real run: `python benchmarks/demo_svg.py`.

Writes `benchmarks/demo.svg`: the progress of the job in the middle and at the end, and the table of its results. The
runs are the same each time; the times are those of the machine.
"""

import argparse
import asyncio
import io
import random
from pathlib import Path

from rich.console import Console
from rich.text import Text

from retab_async.cli.demo import demo_table, open_demo
from retab_async.cli.output import make_table
from retab_async.cli.progress import JobProgress

RUNS, CONCURRENCY = 600, 50
WIDTH = 84


async def record(console: Console) -> None:
    async with open_demo(RUNS, CONCURRENCY) as demonstration:
        progress = JobProgress(demonstration.figures, console)
        done = 0
        async for _ in demonstration.job:
            done += 1
            # As often as on a terminal, so that the rate is an average, too.
            if done % 100 == 0:
                progress.redraw()
            if done == RUNS // 2:
                progress.redraw()
                console.print(progress.get_renderable(), Text())
        progress.redraw()
        console.print(progress.get_renderable(), make_table(*demo_table(demonstration.counts())))


def draw() -> str:
    random.seed(7)
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    console.print(Text("$ retab-async demo", style="bold"))
    asyncio.run(record(console))
    return console.export_svg(title="retab-async demo", unique_id="retab-async-demo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, default=Path(__file__).with_name("demo.svg"))
    options = parser.parse_args()
    options.svg.write_text(draw())


if __name__ == "__main__":
    main()
