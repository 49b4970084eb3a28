"""What an import costs beside `import aiohttp`: medians over fresh interpreters, started in turn.

python benchmarks/bench_import.py [ROUNDS]
"""

import importlib.util
import statistics
import subprocess
import sys

SCRIPT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def cost(module: str) -> float:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    modules = [name for name in ("aiohttp", "retab_async", "retab") if importlib.util.find_spec(name)]
    for module in modules:
        cost(module)
    taken = [{module: cost(module) for module in modules} for _ in range(rounds)]
    for module in modules:
        ratio = statistics.median(each[module] / each["aiohttp"] for each in taken)
        print(f"import {module:<12}{statistics.median(each[module] for each in taken):>8.1f} ms{ratio:>8.2f} x aiohttp")


if __name__ == "__main__":
    main()
