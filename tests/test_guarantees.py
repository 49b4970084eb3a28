"""Every guarantee names existing tests."""

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
    """Return the defects of a page of guarantees."""
    found = []
    seen: set[str] = set()
    rows = [line for line in page.splitlines() if line.startswith("|") and line not in HEADS]
    for row in rows:
        fields = re.fullmatch(r"\| (G\d+) \| (\S.*\.) \| ((?:`\S+` ?)+)\|", row)
        if fields is None:
            found.append(f"no guarantee: {row}")
            continue
        if fields[1] in seen:
            found.append(f"{fields[1]} is defined twice")
        seen.add(fields[1])
        names = fields[3].replace("`", "").split()
        missing = [name for name in names if name not in existing_tests(name.split("::")[0])]
        found += [f"{fields[1]} names {name}, which does not exist" for name in missing]
    return found or ([] if rows else ["no guarantees"])


@cache
def existing_tests(path: str) -> set[str]:
    """Return the names of all tests in a module, from its source."""
    file = ROOT / path
    return {f"{path}::{name}" for name in named(ast.parse(file.read_text()).body)} if file.is_file() else set()


def named(statements: list[ast.stmt]) -> Iterator[str]:
    for each in statements:
        if isinstance(each, ast.ClassDef) and each.name.startswith("Test"):
            yield from (f"{each.name}::{name}" for name in named(each.body))
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_"):
            yield each.name


def test_every_guarantee_names_existing_tests() -> None:
    assert problems_of(PAGE) == []


def test_promises_of_the_readme_are_guarantees() -> None:
    section = README.split("\n## What it promises\n")[1].split("\n## ")[0]
    referenced = re.findall(r"\bG\d+\b", section)

    assert "(retab_async/GUARANTEES.md)" in section
    assert referenced
    assert set(referenced) <= set(re.findall(r"(?m)^\| (G\d+) \|", PAGE))


HERE = "tests/test_guarantees.py"
GOOD = f"| G1 | It is so. | `{HERE}::test_every_guarantee_names_existing_tests` |"
METHOD = "`tests/test_stream.py::TestInvalidArguments::test_are_rejected_at_once`"


@pytest.mark.parametrize("page", [GOOD, f"{GOOD}\n| G2 | So is this. | {METHOD} {METHOD} |"])
def test_page_with_existing_tests_has_no_problems(page: str) -> None:
    assert problems_of("\n".join((*HEADS, page))) == []


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (GOOD.replace("::test_every", "::test_not_every"), "which does not exist"),
        (GOOD.replace(HERE, "tests/test_nothing.py"), "which does not exist"),
        (GOOD.replace("::test_every", "::TestNothing::test_every"), "which does not exist"),
        (GOOD.replace("test_every_guarantee_names_existing_tests", "problems_of"), "which does not exist"),
        (f"{GOOD}\n| G2 | So is this. | {METHOD.replace('TestInvalidArguments::', '')} |", "which does not exist"),
        (f"{GOOD}\n| G2 | So is this. |  |", "no guarantee"),
        (f"{GOOD}\n{GOOD}", "G1 is defined twice"),
        (GOOD.replace("It is so.", ""), "no guarantee"),
        ("", "no guarantees"),
    ],
)
def test_page_with_a_defect_reports_it(page: str, problem: str) -> None:
    (found,) = problems_of("\n".join((*HEADS, page)))

    assert problem in found
