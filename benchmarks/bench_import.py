"""Cost of imports relative to `import aiohttp`, and of a first answered cancel relative to the same by hand.

    python benchmarks/bench_import.py [--short] [--json FILE] [--rounds 25]

Medians over fresh interpreters, interleaved. The cancel includes the imports, the event loop and the close of the
client.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_cancel import KEY, serving

PACKAGE, CLIENT, OFFICIAL = "import retab_async", "from retab_async import AsyncRetab", "from retab import AsyncRetab"
BASE, FIRST_BASE, FIRST = "import aiohttp", "first cancel by hand", "first cancel"

BY_HAND = """
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession(headers={{"Api-Key": "{key}"}}) as session:
        async with session.post("{url}/v1/splits/splt_00000000/cancel") as response:
            assert (await response.json())["status"] == "cancelled"
asyncio.run(main())
"""
WITH_CLIENT = """
import asyncio
from retab_async import AsyncRetab
async def main():
    async with AsyncRetab("{key}", base_url="{url}") as client:
        assert (await client.splits.cancel("splt_00000000")).status == "cancelled"
asyncio.run(main())
"""


def milliseconds(code: str) -> float:
    script = f"import time; began = time.perf_counter()\n{code}\nprint(time.perf_counter() - began)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def measure(codes: dict[str, str], rounds: int) -> list[dict[str, Any]]:
    for code in codes.values():
        # Compiles the modules.
        milliseconds(code)
    taken = [{name: milliseconds(code) for name, code in codes.items()} for _ in range(rounds)]
    rows = []
    for name in codes:
        base = FIRST_BASE if name in {FIRST, FIRST_BASE} else BASE
        row = {
            "name": name,
            "milliseconds": statistics.median(each[name] for each in taken),
            "to": base,
            "ratio": statistics.median(each[name] / each[base] for each in taken),
        }
        rows.append(row)
        print(f"{name:<36}{row['milliseconds']:>8.1f} ms{row['ratio']:>8.2f} x {base}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="5 rounds: some 10 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--rounds", type=int)
    options: Any = parser.parse_args()
    imports = [BASE, PACKAGE, CLIENT, *([OFFICIAL] if importlib.util.find_spec("retab") else [])]
    with serving("three") as urls:
        codes = {code: code for code in imports}
        codes[FIRST_BASE] = BY_HAND.format(key=KEY, url=urls["three"])
        codes[FIRST] = WITH_CLIENT.format(key=KEY, url=urls["three"])
        rows = measure(codes, options.rounds or (5 if options.short else 25))
    if options.json:
        options.json.write_text(json.dumps({"import": rows}, indent=1))


if __name__ == "__main__":
    main()
