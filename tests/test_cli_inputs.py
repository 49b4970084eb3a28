"""Input of ids: lines of files and pipes, and the runs that the lines name."""

import asyncio
import codecs
import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any

import click
import pytest

from retab_async.cli.id_file import IdFileError, IdFileParser, IdFormat
from retab_async.cli.inputs import MAX_LINE_CHARS, open_input, read_lines, scan_lines

ANY_KIND = IdFormat(source="runs.csv")
SPLITS = IdFormat(source="ids.txt", kind="splits")


@pytest.fixture
def pipe() -> Iterator[tuple[int, IO[bytes]]]:
    """A pipe: the descriptor to read, and the file to write to."""
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "wb", buffering=0) as writer:
        yield reader.fileno(), writer


async def collect(items: AsyncGenerator[Any, None]) -> list[Any]:
    """Return all items."""
    async with aclosing(items):
        return [item async for item in items]


def parse_all(file_format: IdFormat, *lines: str) -> list[tuple[str, str]]:
    """Return the runs that these lines name."""
    parser = IdFileParser(file_format)
    return [run for line in lines if (run := parser.parse(line)) is not None]


class TestLines:
    @pytest.mark.parametrize(
        ("content", "lines"),
        [
            (b"", []),
            (b"a", ["a"]),
            (b"a\nb\n", ["a", "b"]),
            (b"a\r\nb\rc", ["a", "b", "c"]),
            (b"\xef\xbb\xbfa\n\nb\r", ["a", "", "b"]),
            (b"\xff\n\xc3", ["\udcff", "\udcc3"]),
            (codecs.BOM_UTF16_LE + "a\r\nü\n".encode("utf-16-le"), ["a", "ü"]),
            (codecs.BOM_UTF16_BE + "a\nü".encode("utf-16-be"), ["a", "ü"]),
            (codecs.BOM_UTF16_LE + b"a\0b", ["a\ufffd"]),
            (b"x" * 300 + b"\n" + b"a\n" * 100_000, ["x" * 300, *["a"] * 100_000]),
        ],
    )
    async def test_lines_of_a_file_are_decoded_from_every_encoding_and_line_break(
        self, content: bytes, lines: list[str], tmp_path: Path
    ) -> None:
        path = tmp_path / "ids.txt"
        path.write_bytes(content)

        with open_input(str(path)) as file:
            scanned = list(scan_lines(file))
            assert await collect(read_lines(file)) == scanned == lines

    async def test_lines_of_a_pipe_arrive_when_they_are_written(self, pipe: tuple[int, IO[bytes]]) -> None:
        read, write = pipe
        async with aclosing(read_lines(read)) as lines:
            write.write(b"a\nb")
            assert await anext(lines) == "a"
            write.write(b"c\n")
            assert await anext(lines) == "bc"
            write.close()
            assert [line async for line in lines] == []

    async def test_a_bom_of_a_pipe_may_arrive_byte_by_byte(self, pipe: tuple[int, IO[bytes]]) -> None:
        reading = asyncio.ensure_future(collect(read_lines(pipe[0])))
        for byte in codecs.BOM_UTF16_LE + "a\n".encode("utf-16-le"):
            pipe[1].write(bytes([byte]))
            await asyncio.sleep(0.01)
        pipe[1].close()

        assert await reading == ["a"]

    async def test_read_lines_of_a_silent_pipe_can_be_cancelled(self, pipe: tuple[int, IO[bytes]]) -> None:
        reading = asyncio.ensure_future(collect(read_lines(pipe[0])))
        await asyncio.sleep(0.05)
        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading

        assert not asyncio.get_running_loop().remove_reader(pipe[0])

    async def test_read_lines_of_an_unwatchable_file_reads_it_at_once(self) -> None:
        with open_input(os.devnull) as file:
            assert await collect(read_lines(file)) == []

    async def test_read_lines_uses_a_thread_if_the_loop_cannot_watch_a_pipe(
        self, pipe: tuple[int, IO[bytes]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*_: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", unsupported)
        pipe[1].write(b"a\n")
        pipe[1].close()

        assert await collect(read_lines(pipe[0])) == ["a"]

    async def test_read_lines_reports_an_unreadable_descriptor(self) -> None:
        with pytest.raises(click.ClickException, match="cannot be read: Bad file descriptor"):
            await collect(read_lines(1_000_000))

    def test_scan_lines_reports_a_failed_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        (tmp_path / "ids.txt").write_text("splt_1\n")
        with open_input(str(tmp_path / "ids.txt")) as file:
            monkeypatch.setattr("os.read", fail)
            with pytest.raises(click.ClickException, match="cannot be read: Input/output error"):
                list(scan_lines(file))

    async def test_a_line_without_an_end_is_refused_before_it_takes_all_memory(self) -> None:
        with open_input("/dev/zero") as file, pytest.raises(click.ClickException, match="this is not a list of ids"):
            await collect(read_lines(file))


class TestRows:
    @pytest.mark.parametrize(
        "lines",
        [
            ("splt_1", "splt_2"),
            ("# two", "", " \t", " splt_1 ", "\tsplt_2"),
            ('"splt_1"', "splt_2,"),
            ("splt_1,,", "splt_2;"),
            ("id", "splt_1", "splt_2"),
            ('"ID";"Note"', 'splt_1;"a, b; c"', "splt_2"),
            ("Run_ID,file,Kind", "splt_1,b.pdf,splits", "splt_2,c.pdf,"),
            ("kind,id", "splits,splt_1", 'splits, "splt_2"'),
            ("splits,splt_1", "splits;splt_2"),
            ("splits\tsplt_1", "splits,splt_2,note"),
            ("splt_1\tqueued\t2026-11-01T09:30:00Z\ta, b; c.pdf", "splt_2\tqueued\t\t"),
            ('{"id":"splt_1","status":"queued"}', '{"kind":"splits","id":"splt_2"}'),
        ],
    )
    def test_parser_of_one_kind_reads_the_files_of_other_programs(self, lines: tuple[str, ...]) -> None:
        assert parse_all(SPLITS, *lines) == [("splits", "splt_1"), ("splits", "splt_2")]

    @pytest.mark.parametrize(
        "lines",
        [
            ("splits,splt_1", "workflows.runs, run_1 ,x"),
            ("splits;splt_1", "workflows/runs;run_1;;"),
            ("splits\tsplt_1", "workflows.runs\trun_1"),
            ("id,kind,disposition,reason", 'splt_1,splits,not_found,"a, ""b"""', "run_1,workflows/runs,rejected,"),
            ("note;kind;id", "x,y;splits;splt_1", ";workflows.runs;run_1"),
            ('{"kind":"splits","id":"splt_1"}', '{"kind":"workflows.runs","id":"run_1"}'),
        ],
    )
    def test_parser_of_any_kind_reads_the_kind_of_each_row(self, lines: tuple[str, ...]) -> None:
        assert parse_all(ANY_KIND, *lines) == [("splits", "splt_1"), ("workflows.runs", "run_1")]

    def test_parser_takes_the_ids_of_the_named_column(self) -> None:
        file_format = IdFormat(source="ids.csv", kind="splits", column="Old ID")

        assert parse_all(file_format, "id,old id", "x_1,splt_1") == [("splits", "splt_1")]

    @pytest.mark.parametrize(
        ("file_format", "lines", "reason"),
        [
            (SPLITS, ("splt_1", "a/b"), "ids.txt, line 2: 'a/b' is not a run id: a/b"),
            (SPLITS, ("# x", "splt_1 splt_2"), "line 2: 'splt_1 splt_2' is not a run id"),
            (SPLITS, ("splt_1,splt_2",), "line 1: several columns without a heading"),
            (
                SPLITS,
                ("splits,splt_1", "partitions,prtn_1"),
                "a run of partitions, but the command cancels runs of splits",
            ),
            (SPLITS, ("id,note", ",x"), "line 2: no run id"),
            (SPLITS, ("note,id", "x"), "line 2: no run id"),
            (SPLITS, ("id,run_id", "a,b"), "line 1: several columns may be the id: pass --column NAME"),
            (SPLITS, ('splt_1,"x', 'y"'), "line 1: its quotes do not match"),
            (SPLITS, ('"splt_1" x',), "line 1: its quotes do not match"),
            (SPLITS, (",",), "line 1: no run id"),
            (SPLITS, ("{",), "line 1: not valid JSON"),
            (SPLITS, ('{"id":7}',), "line 1: no run id"),
            (SPLITS, ("splt_\udcff",), r"'splt_\udcff' is not a run id"),
            (ANY_KIND, ("splt_1",), "runs.csv, line 1: no kind: write KIND,ID, or pass --kind"),
            (ANY_KIND, ("splits,",), "line 1: no kind"),
            (ANY_KIND, ("prints,x_1",), "line 1: several columns without a heading"),
            (ANY_KIND, ("Kind,Run ID,customer",), "line 1: no column is named id: name it with --column"),
            (ANY_KIND, ("split,splt_1",), "line 1: 'split' is not a kind: did you mean splits?"),
            (ANY_KIND, ("kind,id", "split,splt_1"), "line 2: 'split' is not a kind: did you mean splits?"),
            (ANY_KIND, ("id,note",), "line 1: there is no column kind: add one, or pass --kind"),
            (ANY_KIND, ("kind,id", "prints,x_1"), "line 2: 'prints' is not a kind: the kinds are splits, partitions"),
            (ANY_KIND, ('{"id":"splt_1"}',), "line 1: no kind"),
            (IdFormat(source="x", kind="splits", column="nr"), ("id",), "x, line 1: there is no column 'nr': id"),
        ],
    )
    def test_parser_rejects_an_unclear_line_with_its_number(
        self, file_format: IdFormat, lines: tuple[str, ...], reason: str
    ) -> None:
        with pytest.raises(IdFileError) as error_info:
            parse_all(file_format, *lines)

        assert reason in error_info.value.message

    def test_parser_rejects_a_long_open_quote_at_once(self) -> None:
        line = 'splits,"splt_1' + '""' * (MAX_LINE_CHARS // 2 - 10)
        began = time.process_time()

        with pytest.raises(IdFileError, match="line 1: its quotes do not match"):
            parse_all(ANY_KIND, line, line)

        assert time.process_time() - began < 0.5
