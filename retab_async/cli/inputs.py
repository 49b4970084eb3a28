"""Lines of a file, a pipe or a terminal, read incrementally in any of the encodings that programs write."""

import asyncio
import os
import stat
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager, suppress
from io import IncrementalNewlineDecoder
from pathlib import Path

import click

_CHUNK_BYTES = 1 << 16
MAX_LINE_CHARS = 1 << 16


@contextmanager
def open_input(path: str) -> Iterator[int]:
    """Open a file, or stdin for `-`, and yield its descriptor; raises `click.UsageError` if that fails."""
    if path == "-":
        if sys.stdin is None:
            msg = "stdin is closed: there is nothing to read"
            raise click.UsageError(msg)
        yield sys.stdin.fileno()
        return
    try:
        # Outside the event loop, because opening a named pipe blocks until it has a writer.
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - errors of reading are handled apart
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise click.UsageError(msg) from None
    with file:
        yield file.fileno()


def is_regular(descriptor: int) -> bool:
    """Return whether a descriptor is that of a regular file, which can be read twice and never blocks."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


async def read_lines(descriptor: int) -> AsyncGenerator[str, None]:
    """Yield the lines of a descriptor, without their line breaks, as they are written."""
    splitter = _LineSplitter()
    while chunk := await _read_chunk(descriptor):
        for line in splitter.feed(chunk):
            yield line
    for line in splitter.finish():
        yield line


def scan_lines(descriptor: int) -> Generator[str, None, None]:
    """Yield the lines of a regular file from its current position, and return to that position at the end."""
    splitter = _LineSplitter()
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield from splitter.feed(chunk)
        yield from splitter.finish()
    except OSError as error:
        raise _read_error(error) from None
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


class _LineSplitter:
    """Incremental decoder from bytes to lines: UTF-8 or UTF-16 with a BOM, line breaks of every system."""

    def __init__(self) -> None:
        self._decoder: IncrementalNewlineDecoder | None = None
        self._head = b""
        self._rest = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Decode a chunk and return the lines that it completes."""
        return self._split(chunk, final=False)

    def finish(self) -> list[str]:
        """Return the last line, if it has no line break."""
        lines = self._split(b"", final=True)
        return [*lines, self._rest] if self._rest else lines

    def _split(self, chunk: bytes, *, final: bool) -> list[str]:
        if self._decoder is None:
            self._head += chunk
            # A BOM of UTF-16 may arrive byte by byte.
            if len(self._head) < 2 and not final:
                return []
            self._decoder = _make_decoder(self._head)
            chunk = self._head
        *lines, self._rest = (self._rest + self._decoder.decode(chunk, final=final)).split("\n")
        if len(self._rest) > MAX_LINE_CHARS:
            msg = f"a line is longer than {MAX_LINE_CHARS} characters: this is not a list of ids"
            raise click.ClickException(msg)
        return lines


def _make_decoder(head: bytes) -> IncrementalNewlineDecoder:
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return IncrementalNewlineDecoder(getincrementaldecoder("utf-16")("replace"), translate=True)
    return IncrementalNewlineDecoder(getincrementaldecoder("utf-8-sig")("surrogateescape"), translate=True)


async def _read_chunk(descriptor: int) -> bytes:
    try:
        # A thread that reads from a pipe or a terminal would keep the interpreter from exiting.
        if is_regular(descriptor) or not await _wait_readable(descriptor):
            return await asyncio.to_thread(os.read, descriptor, _CHUNK_BYTES)
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError as error:
        raise _read_error(error) from None


def _read_error(error: OSError) -> click.ClickException:
    return click.ClickException(f"the list of ids cannot be read: {error.strerror}")


async def _wait_readable(descriptor: int) -> bool:
    # Returns False if the loop cannot watch the descriptor: /dev/null, or any on Windows.
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    with suppress(PermissionError, NotImplementedError):
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
        return True
    return False
