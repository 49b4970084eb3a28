"""How lines and rows are read: from files, pipes and other places, in pieces."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any

import click
import pytest

from retab_async.cli.cancel import ids_of
from retab_async.cli.inputs import LONGEST, lines_of, opened, runs_of


@pytest.fixture
def pipe() -> Iterator[tuple[int, IO[bytes]]]:
    """A pipe: the descriptor that is read, and what is written to."""
    out, into = os.pipe()
    with os.fdopen(out) as reader, os.fdopen(into, "wb", buffering=0) as writer:
        yield reader.fileno(), writer


async def given(*lines: str) -> AsyncGenerator[str, None]:
    """Give these lines."""
    for line in lines:
        yield line


async def all_of(items: AsyncGenerator[Any, None]) -> list[Any]:
    """Return what there is."""
    async with aclosing(items):
        return [item async for item in items]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\rc", ["a", "b", "c"]),
        (b"\xef\xbb\xbfa\n\nb\r", ["a", "", "b"]),
        (b"\xff\n\xc3", ["\udcff", "\udcc3"]),
        (b"x" * 300 + b"\n" + b"a\n" * 100_000, ["x" * 300, *["a"] * 100_000]),
    ],
)
async def test_lines_of_a_file_are_those_of_every_system(content: bytes, lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(content)

    with opened(str(path)) as file:
        assert await all_of(lines_of(file)) == lines


async def test_lines_of_a_pipe_are_there_when_they_are_written(pipe: tuple[int, IO[bytes]]) -> None:
    out, into = pipe
    async with aclosing(lines_of(out)) as lines:
        into.write(b"a\nb")
        assert await anext(lines) == "a"
        into.write(b"c\n")
        assert await anext(lines) == "bc"
        into.close()
        assert [line async for line in lines] == []


async def test_whoever_waits_for_a_pipe_can_be_called_off(pipe: tuple[int, IO[bytes]]) -> None:
    reading = asyncio.ensure_future(all_of(lines_of(pipe[0])))
    await asyncio.sleep(0.05)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading

    # Nobody listens there any more.
    assert not asyncio.get_running_loop().remove_reader(pipe[0])


async def test_what_cannot_be_waited_for_is_read_at_once() -> None:
    with opened(os.devnull) as file:
        assert await all_of(lines_of(file)) == []


async def test_a_loop_that_cannot_wait_for_a_pipe_reads_it_in_a_thread(
    pipe: tuple[int, IO[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", none)
    pipe[1].write(b"a\n")
    pipe[1].close()

    assert await all_of(lines_of(pipe[0])) == ["a"]


async def test_what_cannot_be_read_says_why() -> None:
    with pytest.raises(click.ClickException, match="cannot be read: Bad file descriptor"):
        await all_of(lines_of(1_000_000))


async def test_a_line_without_an_end_is_no_reason_to_take_all_memory() -> None:
    with opened("/dev/zero") as file, pytest.raises(click.ClickException, match="this is no list of ids"):
        await all_of(lines_of(file))


async def test_ids_are_what_is_neither_blank_nor_a_comment() -> None:
    lines = given("splt_1", "", "  # splt_2", "\t splt_3 ", "#", "a # b")

    assert await all_of(ids_of(lines)) == ["splt_1", "splt_3", "a # b"]


@pytest.mark.parametrize(
    ("lines", "runs"),
    [
        ((), []),
        (("splits,splt_1", "", "workflows.runs, run_1 ,x"), [("splits", "splt_1"), ("workflows.runs", "run_1")]),
        (("kind,id", "splits,splt_1"), [("splits", "splt_1")]),
        (("# what there is", "Run_ID,file,Collection", "splt_1,b.pdf,splits"), [("splits", "splt_1")]),
        (
            ("id,resource", "splt_1,splits", "splt_2", "splt_3,prints"),
            [("splits", "splt_1"), "splt_2", "splt_3,prints"],
        ),
        (("id,other", "splits,splt_1"), ["id,other", ("splits", "splt_1")]),
        (
            ("kind,note,id", 'splits,"two', "", 'lines",splt_1', "splits,,splt_2"),
            [("splits", "splt_1"), ("splits", "splt_2")],
        ),
        (('"splits"x,splt_1', '"splits","splt_2"'), ['"splits"x,splt_1', ("splits", "splt_2")]),
        (("splits,", "splits,\u2028splt_1"), ["splits,", ("splits", "splt_1")]),
    ],
)
async def test_rows_name_a_kind_and_an_id_or_are_given_as_they_are(lines: tuple[str, ...], runs: list[Any]) -> None:
    assert await all_of(runs_of(given(*lines))) == runs


async def test_a_quote_that_is_not_closed_is_told_at_the_end_and_before_it_takes_all_memory() -> None:
    async def endless() -> AsyncGenerator[str, None]:
        yield 'splits,"splt_1'
        for _ in range(10):
            yield "x" * (LONGEST // 4)
        pytest.fail("there is no end to it")

    for lines in (given('splits,"splt_1', "splits,splt_2"), endless()):
        with pytest.raises(click.ClickException, match='never closed, from here on: splits,"splt_1'):
            await all_of(runs_of(lines))
