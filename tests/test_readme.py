"""The README, the guides and the package agree: settings, errors, modules, commands, links; their code runs."""

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from itertools import dropwhile, takewhile
from pathlib import Path
from textwrap import dedent

import click
import pytest

import retab_async
from retab_async import APIError, AsyncRetab, RetabError, RetryPolicy, cli
from retab_async.emulator import Emulator
from retab_async.resources import RESOURCES

ROOT = Path(__file__).parent.parent
PACKAGE = Path(retab_async.__file__).parent
GUIDES = sorted((PACKAGE / "guides").glob("*.md"))
PAGES = {path.name: path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDES)}
# A block that needs a setting of its own is marked ```py, and has a test beside the tests of its subject.
BLOCKS = [
    pytest.param(name, block, id=f"{name}: {' '.join(block.split())[:40]}")
    for name, path in PAGES.items()
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
]
LINKS = [
    (name, target)
    for name, path in PAGES.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    if "://" not in target
]
COMMANDS = [
    line for path in (PAGES["README.md"], *GUIDES) for line in re.findall(r"(?m)^retab-async (.*)$", path.read_text())
]


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading."""
    below = PAGES[page].read_text().split(f"# {heading}\n", maxsplit=1)[1]
    lines = dropwhile(lambda line: not line.startswith("|"), below.splitlines())
    return [line.strip("| ").split(" | ") for line in takewhile(lambda line: line.startswith("|"), lines)][2:]


def test_settings_table_lists_exactly_the_settings() -> None:
    listed = [re.findall(r"`(\w+)`", row[0])[0] for row in table("settings.md", "Settings")]

    assert len(listed) == len(set(listed))
    assert set(listed) == set(inspect.signature(AsyncRetab).parameters)


@pytest.mark.parametrize("name", ["timeout", "max_connections"])
def test_settings_table_states_the_defaults(name: str) -> None:
    listed = {row[0]: row[1] for row in table("settings.md", "Settings")}

    assert float(listed[f"`{name}`"]) == inspect.signature(AsyncRetab).parameters[name].default


def test_settings_table_states_the_default_retry_policy() -> None:
    listed = {row[0]: row[1] for row in table("settings.md", "Settings")}

    assert listed["`retry`"].strip("`") == repr(RetryPolicy())


def test_errors_table_lists_exactly_the_errors() -> None:
    named = {name for row in table("errors.md", "Errors") for name in re.findall(r"`(\w+Error)`", row[0])}
    listed = named - {"ValueError", "RuntimeError", "TimeoutError", "OSError"}
    exported = {name for name in retab_async.__all__ if name.endswith("Error")} - {
        "RetabError",
        "PrimitiveError",
        "RequestError",
        "HTTPResponseError",
    }

    assert listed == exported
    assert all(issubclass(getattr(retab_async, name), RetabError) for name in exported)


def test_api_error_has_the_attributes_the_guide_names() -> None:
    sentence = PAGES["errors.md"].read_text().split("An `APIError` carries ")[1].split(". What is raised")[0]
    names = re.findall(r"`(\w+)`", sentence)
    error = APIError("Bad Request", status_code=400, method="GET", url="/v1/x")

    assert len(names) == 12
    assert all(hasattr(error, name) for name in names)


def test_layout_table_lists_exactly_the_modules() -> None:
    listed = {re.findall(r"`([\w/.]+)`", row[0])[0] for row in table("CONTRIBUTING.md", "Layout")}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert listed == (files | folders)


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    """The environment of a page's code: a key, a file to send, and a fast API."""
    async with Emulator(api_key="sk_...", queued=0, running=0.01) as running:
        monkeypatch.setenv("RETAB_API_KEY", running.api_key)
        monkeypatch.setenv("RETAB_API_BASE_URL", running.url)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "batch.pdf").write_bytes(b"%PDF-1.7\n")
        yield running


@pytest.mark.parametrize(("page", "block"), BLOCKS)
async def test_python_block_runs_without_an_error_response(page: str, block: str, emulator: Emulator) -> None:
    ids = {kind: emulator.seed(kind.replace(".", "/"))[0] for kind in RESOURCES}
    code = with_ids(dedent(block), ids.values())
    compiled = compile(code, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with AsyncRetab() as client:
        names = {
            **{name: getattr(retab_async, name) for name in retab_async.__all__},
            "asyncio": asyncio,
            "client": client,
            "ids": [ids["splits"]],
            "partition": await client.partitions.get(ids["partitions"]),
        }
        if "asyncio.run(" in code:
            await asyncio.to_thread(eval, compiled, names)
        elif coroutine := eval(compiled, names):  # noqa: S307 - our own page
            await coroutine

    assert emulator.requests
    assert [served for served in emulator.requests if served.status and served.status >= 400] == []


def with_ids(text: str, ids: Iterable[str]) -> str:
    """Return the text with the example ids replaced by these, by prefix."""
    by_prefix = {run_id.rpartition("_")[0]: run_id for run_id in ids}
    return re.sub(r"\b([a-z]+)_01G34H8J2K\b", lambda found: by_prefix[found[1]], text)


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_link_to_a_file_or_heading_exists(page: str, target: str) -> None:
    path, _, heading = target.partition("#")
    file = PAGES[page].parent / path if path else PAGES[page]

    assert file.exists()
    if heading:
        headings = re.findall(r"(?m)^#+ (.*)$", file.read_text())
        assert heading in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("line", COMMANDS)
def test_command_line_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.schema.json").write_text("{}")
    words = [*takewhile(lambda word: word not in {"<", ">", "|"}, shlex.split(line, comments=True))]
    command: click.Command = cli._root

    with ExitStack() as contexts:
        while isinstance(command, click.Group):
            context = contexts.enter_context(click.Context(command))
            _, words, _ = command.make_parser(context).parse_args(words)
            _, below, words = command.resolve_command(context, words)
            assert below is not None
            command = below
        assert command.make_context(command.name, words) is not None


def test_web_app_of_the_readme_is_the_one_of_the_guide() -> None:
    """`test_guide_web_apps` runs it."""
    (block,) = re.findall(r"```py\n(.*?)```", PAGES["README.md"].read_text(), re.DOTALL)

    assert block in PAGES["web-apps.md"].read_text()
