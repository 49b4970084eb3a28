"""Rows of a CSV that name runs of any kind: `splits,splt_1`, with a heading or without."""

import csv
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from io import StringIO

import click

from retab_async.cli.bulk.lines import LONGEST
from retab_async.resources import RESOURCES

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
