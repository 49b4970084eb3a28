"""Generates the guide's table of kinds and methods from the registry; run as a script, writes it."""

from pathlib import Path

import retab_async
from retab_async.resources import RESOURCES

GUIDE = Path(retab_async.__file__).parent / "guides" / "guide.md"
START, END = "<!-- kinds: written by `python tests/kinds_table.py` -->\n", "<!-- end of kinds -->"
_DECLARED = {"path", "run_type", "spec"}


def kinds_table() -> str:
    """Return the sentence on the methods of all kinds, and the table of what each kind adds."""
    verbs = {name: _verbs(resource) for name, resource in RESOURCES.items()}
    shared = set.intersection(*map(set, verbs.values()))
    rows = [
        f"| `client.{name}` | `{RESOURCES[name].run_type.__name__}` | {_code(set(methods) - shared)} |"
        for name, methods in verbs.items()
    ]
    every = ", ".join(f"`{verb}`" for verb in sorted(shared))
    return "\n".join([f"Every kind has {every}; and:", "", "| kind | its run | also |", "|---|---|---|", *rows, "", ""])


def written() -> str:
    """Return the guide with an up-to-date table."""
    before, _, rest = GUIDE.read_text().partition(START)
    return f"{before}{START}{kinds_table()}{END}{rest.partition(END)[2]}"


def _verbs(resource: type) -> list[str]:
    return [name for name in dir(resource) if not name.startswith("_") and name not in _DECLARED]


def _code(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    GUIDE.write_text(written())
