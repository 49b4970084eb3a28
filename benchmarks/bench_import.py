"""Import time relative to `import aiohttp`: medians over fresh interpreters, interleaved.

Run it with `python benchmarks/bench_import.py [ROUNDS]`.
"""

import importlib.util
import statistics
import subprocess
import sys

IMPORTS = {
    "aiohttp": "import aiohttp",
    "retab_async": "from retab_async import AsyncRetab",
    "retab": "from retab import AsyncRetab",
}


def cost(module: str) -> float:
    script = f"import time; began = time.perf_counter(); {IMPORTS[module]}; print(time.perf_counter() - began)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    modules = [module for module in IMPORTS if importlib.util.find_spec(module)]
    for module in modules:
        cost(module)
    taken = [{module: cost(module) for module in modules} for _ in range(rounds)]
    for module in modules:
        ratio = statistics.median(each[module] / each["aiohttp"] for each in taken)
        milliseconds = statistics.median(each[module] for each in taken)
        print(f"{IMPORTS[module]:<36}{milliseconds:>8.1f} ms{ratio:>8.2f} x aiohttp")


if __name__ == "__main__":
    main()
