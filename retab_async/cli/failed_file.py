"""The file of `--failed`: the runs of a job that could not be cancelled."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import IO

import click
import orjson

from retab_async.bulk.results import FAILURES
from retab_async.cli.console import escape_control_chars
from retab_async.cli.output import Outcome
from retab_async.cli.replacement import open_replacement, write_all

_HEADING = ("id", "kind", "disposition", "reason")
# Spreadsheets run cells that begin with these as formulas.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class FailedFile:
    """Writer of failed runs: CSV with the columns id, kind, disposition and reason, or only ids in a `.txt` file.

    Its methods raise `click.ClickException` if the file cannot be written.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._written: set[tuple[str, str]] = set()
        self._ids_only = path.lower().endswith(".txt")
        if not self._ids_only:
            self._write(_csv_line(_HEADING))

    def add(self, failed: Outcome) -> None:
        """Write one failed run."""
        self._written.add((failed.kind, failed.run_id))
        self._write_row((failed.run_id, failed.kind, failed.disposition, failed.reason))

    def add_from_journal(self, path: str) -> None:
        """Write the runs that failed in earlier parts of the job and were not cancelled since."""
        failures: dict[tuple[str, str], tuple[str, str]] = {}
        for kind, run_id, disposition, reason in _read_journal(path):
            if disposition in FAILURES:
                failures[kind, run_id] = disposition, reason
            else:
                failures.pop((kind, run_id), None)
        for (kind, run_id), (disposition, reason) in failures.items():
            if (kind, run_id) not in self._written:
                self._write_row((run_id, kind, disposition, reason))

    def _write_row(self, row: tuple[str, str, str, str]) -> None:
        cells = (*row[:3], escape_control_chars(row[3]))
        self._write(f"{row[0]}\n" if self._ids_only else _csv_line(cells))

    def _write(self, line: str) -> None:
        write_all(self._file, line.encode(errors="surrogateescape"), self._path)


@contextmanager
def open_failed_file(path: str) -> Iterator[FailedFile]:
    """Open the file of failed runs; it replaces an existing one only if the block ends without an exception.

    Raises:
        click.UsageError: The file cannot be written.
    """
    with open_replacement(path) as file:
        yield FailedFile(path, file)


def _read_journal(path: str) -> Iterator[tuple[str, str, str, str]]:
    # The format of its lines is documented in `retab_async.journal`.
    try:
        with Path(path).open("rb") as lines:
            for line in lines:
                entry = orjson.loads(line)
                if "run_id" in entry:
                    yield entry["kind"], entry["run_id"], entry["disposition"], entry["reason"]
    except (OSError, ValueError) as error:
        msg = f"the failures in the journal {path!r} cannot be read: {error}"
        raise click.ClickException(msg) from None


def quote_formula(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _csv_line(row: tuple[str, ...]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(quote_formula, row))
    return line.getvalue()
