"""The lines of a file or of stdin, read as they are wanted: a million, or those of a pipe that never ends."""

import asyncio
import csv
import os
import stat
import sys
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import IncrementalNewlineDecoder, StringIO
from pathlib import Path

import click

from retab_async.resources import RESOURCES

_PIECE = 1 << 16
# What is longer is no list of ids.
LONGEST = 1 << 16


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Give the descriptor of a file, or that of stdin for `-`; wrong usage where it cannot be had."""
    if path == "-":
        if sys.stdin is None:
            msg = "stdin is closed: there is nothing to read"
            raise click.UsageError(msg)
        yield sys.stdin.fileno()
        return
    try:
        # Not in the event loop: what opens a pipe waits for somebody who writes into it.
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - what is read in it has its own errors
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise click.UsageError(msg) from None
    with file:
        yield file.fileno()


async def lines_of(file: int) -> AsyncGenerator[str, None]:
    """Give the lines of a descriptor, of whatever system, without their ends; what is no UTF-8 stays as it is."""
    decoder = IncrementalNewlineDecoder(getincrementaldecoder("utf-8-sig")("surrogateescape"), translate=True)
    rest, is_over = "", False
    while not is_over:
        piece = await _piece(file)
        is_over = not piece
        *lines, rest = (rest + decoder.decode(piece, final=is_over)).split("\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST:
            msg = f"there is a line of more than {LONGEST} letters: this is no list of ids"
            raise click.ClickException(msg)
    if rest:
        yield rest


def is_on_disk(file: int) -> bool:
    """Tell whether a descriptor is that of an ordinary file, which never makes anybody wait."""
    return stat.S_ISREG(os.fstat(file).st_mode)


async def _piece(file: int) -> bytes:
    try:
        # A thread that reads from a pipe, or from whoever types, would hold up the end of the program.
        if is_on_disk(file) or not await _is_ready(file):
            return await asyncio.to_thread(os.read, file, _PIECE)
        return os.read(file, _PIECE)
    except OSError as error:
        msg = f"what is to be cancelled cannot be read: {error.strerror}"
        raise click.ClickException(msg) from None


async def _is_ready(file: int) -> bool:
    # Waits until there is something to be read; False where this loop cannot tell, of /dev/null, or on Windows.
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    with suppress(PermissionError, NotImplementedError):
        loop.add_reader(file, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(file)
        return True
    return False


# Why a text is rejected that stands for a row.
REASON = "it names no kind of run that there is, or no id"

_KINDS = ("kind", "resource", "collection")
_IDS = ("id", "run_id")


async def runs_of(lines: AsyncIterator[str]) -> AsyncGenerator[tuple[str, str] | str, None]:
    """Give the kind and the id of each row, or its text where it has not both, or names no kind that there is."""
    columns: tuple[int, int] | None = None
    rows = _Rows()
    async for line in lines:
        row = rows.add(line)
        if row is None:
            continue
        if columns is None:
            heading = _columns(row)
            columns = heading or (0, 1)
            if heading:
                continue
        kind, run_id = (row[column].strip() if column < len(row) else "" for column in columns)
        yield (kind, run_id) if kind in RESOURCES and run_id else rows.text
    rows.check_whole()


def _columns(row: Sequence[str]) -> tuple[int, int] | None:
    names = [cell.strip().lower() for cell in row]
    kind = next((names.index(name) for name in _KINDS if name in names), None)
    run_id = next((names.index(name) for name in _IDS if name in names), None)
    return None if kind is None or run_id is None else (kind, run_id)


class _Rows:
    """Makes rows of lines, of which several may be one; `text` is the last row as it came."""

    def __init__(self) -> None:
        self.text = ""
        self._is_open = False

    def add(self, line: str) -> list[str] | None:
        """Take a line; returns the row that it ends, or None where there is none yet."""
        if not self._is_open and (not line.strip() or line.startswith("#")):
            return None
        self.text = f"{self.text}\n{line}" if self._is_open else line
        self._is_open = False
        try:
            return next(csv.reader(StringIO(self.text, newline=""), strict=True))
        except csv.Error as error:
            # A line break within quotes, or else what is no CSV.
            self._is_open = "end of data" in str(error)
        if len(self.text) > LONGEST:
            self.check_whole()
        return None if self._is_open else [self.text]

    def check_whole(self) -> None:
        """Raise what says so where a row is not whole, and cannot be any more."""
        if self._is_open:
            msg = f"a quote is opened and never closed, from here on: {self.text:.100}"
            raise click.ClickException(msg)
