"""Each guarantee names tests that there are."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import retab_async

ROOT = Path(__file__).parent.parent
PAGE = (Path(retab_async.__file__).parent / "GUARANTEES.md").read_text()
README = (ROOT / "README.md").read_text()
HEADS = ("| id | promise | test |", "|---|---|---|")


def problems_of(page: str) -> list[str]:
    """Return what is wrong with a page of guarantees."""
    found = []
    rows = [line for line in page.splitlines() if line.startswith("|") and line not in HEADS]
    for number, row in enumerate(rows, 1):
        told = re.fullmatch(r"\| (G\d+) \| (\S.*\.) \| ((?:`\S+` ?)+)\|", row)
        if told is None:
            found.append(f"no guarantee: {row}")
        elif told[1] != f"G{number}":
            found.append(f"{told[1]} stands in the place of G{number}")
        else:
            missing = [name for name in told[3].replace("`", "").split() if name not in there_are(name.split("::")[0])]
            found += [f"{told[1]} names {name}, which there is not" for name in missing]
    return found or ([] if rows else ["no guarantees"])


@cache
def there_are(path: str) -> set[str]:
    """Return the names of all tests in a module; they are read, and not run."""
    file = ROOT / path
    return {f"{path}::{name}" for name in named(ast.parse(file.read_text()).body)} if file.is_file() else set()


def named(statements: list[ast.stmt]) -> Iterator[str]:
    for each in statements:
        if isinstance(each, ast.ClassDef) and each.name.startswith("Test"):
            yield from (f"{each.name}::{name}" for name in named(each.body))
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_"):
            yield each.name


def test_every_guarantee_names_tests_that_there_are() -> None:
    assert problems_of(PAGE) == []


def test_what_the_readme_promises_is_a_guarantee() -> None:
    section = README.split("\n## What it promises\n")[1].split("\n## ")[0]
    named_there = re.findall(r"\bG\d+\b", section)

    assert "(retab_async/GUARANTEES.md)" in section
    assert named_there
    assert set(named_there) <= set(re.findall(r"(?m)^\| (G\d+) \|", PAGE))


HERE = "tests/test_guarantees.py"
GOOD = f"| G1 | It is so. | `{HERE}::test_every_guarantee_names_tests_that_there_are` |"
METHOD = (
    "`tests/test_throttled_calls.py::TestTheBudget::test_is_spent_by_retries_and_then_failures_are_raised_as_they_are`"
)


@pytest.mark.parametrize("page", [GOOD, f"{GOOD}\n| G2 | So is this. | {METHOD} {METHOD} |"])
def test_a_page_whose_tests_there_are_is_good(page: str) -> None:
    assert problems_of("\n".join((*HEADS, page))) == []


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (GOOD.replace("::test_every", "::test_not_every"), "which there is not"),
        (GOOD.replace(HERE, "tests/test_nothing.py"), "which there is not"),
        (GOOD.replace("::test_every", "::TestNothing::test_every"), "which there is not"),
        (GOOD.replace("test_every_guarantee_names_tests_that_there_are", "problems_of"), "which there is not"),
        (f"{GOOD}\n| G2 | So is this. | {METHOD.replace('TestTheBudget::', '')} |", "which there is not"),
        (f"{GOOD}\n| G2 | So is this. |  |", "no guarantee"),
        (f"{GOOD}\n{GOOD}", "G1 stands in the place of G2"),
        (f"{GOOD}\n{GOOD.replace('G1', 'G3')}", "G3 stands in the place of G2"),
        (GOOD.replace("It is so.", ""), "no guarantee"),
        ("", "no guarantees"),
    ],
)
def test_a_page_that_promises_too_much_is_noticed(page: str, problem: str) -> None:
    (found,) = problems_of("\n".join((*HEADS, page)))

    assert problem in found
