"""What the README promises by name is there, and what is there is promised."""

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import pytest
from kinds_table import kinds_table

import retab_async
from retab_async import APIError, AsyncRetab, RetabError, RetryPolicy
from retab_async.emulator import Emulator

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PACKAGE = Path(retab_async.__file__).parent


def table(heading: str) -> list[list[str]]:
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_setting_is_in_the_table_and_no_other() -> None:
    told = [re.findall(r"`(\w+)`", row[0])[0] for row in table("Settings")]

    assert len(told) == len(set(told))
    assert set(told) == set(inspect.signature(AsyncRetab).parameters)


@pytest.mark.parametrize("name", ["timeout", "max_connections"])
def test_the_defaults_in_the_table_are_the_defaults(name: str) -> None:
    told = {row[0]: row[1] for row in table("Settings")}

    assert float(told[f"`{name}`"]) == inspect.signature(AsyncRetab).parameters[name].default


def test_the_retry_policy_in_the_table_is_the_default_one() -> None:
    told = {row[0]: row[1] for row in table("Settings")}

    assert told["`retry`"].strip("`") == repr(RetryPolicy())


def test_every_error_is_in_the_table_and_no_other() -> None:
    named = {name for row in table("Errors") for name in re.findall(r"`(\w+Error)`", row[0])}
    told = named - {"ValueError", "RuntimeError", "TimeoutError", "OSError"}
    exported = {name for name in retab_async.__all__ if name.endswith("Error")} - {"RetabError", "PrimitiveError"}

    assert told == exported
    assert all(issubclass(getattr(retab_async, name), RetabError) for name in exported)


def test_the_facts_that_an_api_error_is_said_to_carry_are_on_it() -> None:
    sentence = README.split("An `APIError` carries ")[1].split(". What is raised")[0]
    names = re.findall(r"`(\w+)`", sentence)
    error = APIError("told", status_code=400, method="GET", url="/v1/x")

    assert len(names) == 12
    assert all(hasattr(error, name) for name in names)


def test_every_room_is_in_the_table_and_no_other() -> None:
    told = {re.findall(r"`([\w/.]+)`", row[0])[0] for row in table("How it is built")}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert told == (files | folders)


def test_the_table_of_kinds_is_the_register() -> None:
    assert kinds_table() in README, "python tests/kinds_table.py writes it"


def test_a_kind_that_the_emulator_serves_is_in_the_register() -> None:
    assert all(Emulator().seed(name) for name in ("splits", "partitions"))


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    """What whoever tries a block has: a key, a file to send, and an API that is quick."""
    async with Emulator(api_key="sk_...", queued=0, running=0.01) as running:
        monkeypatch.setenv("RETAB_API_KEY", running.api_key)
        monkeypatch.setenv("RETAB_API_BASE_URL", running.url)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "batch.pdf").write_bytes(b"%PDF-1.7\n")
        yield running


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.split())[:40])
async def test_every_python_block_does_what_it_says(block: str, emulator: Emulator) -> None:
    (split_id,), (partition_id,) = emulator.seed("splits"), emulator.seed("partitions")
    code = dedent(block).replace("splt_01G34H8J2K", split_id).replace("prtn_01G34H8J2K", partition_id)
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with AsyncRetab() as client:
        names = {
            **vars(retab_async),
            "asyncio": asyncio,
            "client": client,
            "ids": [split_id],
            "partition": await client.partitions.get(partition_id),
        }
        if "asyncio.run(" in code:
            await asyncio.to_thread(eval, compiled, names)
        else:
            coroutine = eval(compiled, names)  # noqa: S307 - our own page
            await coroutine

    assert emulator.requests
    assert [served for served in emulator.requests if served.status and served.status >= 400] == []
