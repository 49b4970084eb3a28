"""Language: the project's texts avoid words that obscure the standard terms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# One alternative per word or phrase; each has a plain equivalent (see CONTRIBUTING.md, "Language").
BANNED = re.compile(
    r"\b(told|whoever|whomever|nobody|so many|at the most|bears|affairs?|comes? to (?:nothing|its)|took? note|"
    r"takes? note|takes? down|taken down|is had|as it then is|for good|in vain|of yours|of theirs|by which way)\b",
    re.IGNORECASE,
)
FOLDERS = ("retab_async", "tests", "benchmarks", ".ci")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml")
TEXTS = sorted(
    path
    for path in (*(ROOT / page for page in PAGES), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*")))
    if path.suffix in {".py", ".md", ".toml", ""} and path.is_file() and path != Path(__file__)
)


def banned_words_in(text: str) -> list[str]:
    """Return the banned words of a text with their line numbers; identifiers are split at underscores."""
    return [
        f"{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in BANNED.finditer(line.replace("_", " "))
    ]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_has_no_banned_words(path: Path) -> None:
    assert banned_words_in(path.read_text()) == []


@pytest.mark.parametrize("text", ["it was told", "def told_of(it):", "Nobody waits", "so many\nat the most"])
def test_banned_word_is_found(text: str) -> None:
    assert banned_words_in(text) != []
