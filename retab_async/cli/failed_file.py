"""The file of `--failed`: the runs of a job that could not be cancelled."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import IO

import click
import orjson

from retab_async.bulk.results import FAILURES
from retab_async.cli.console import escape_control_chars
from retab_async.cli.id_file import Columns, RowId
from retab_async.cli.output import Outcome
from retab_async.cli.replacement import open_replacement, write_all
from retab_async.cli.spreadsheet import quote_formula

_HEADING = ("id", "kind", "disposition", "reason")


class FailedFile:
    """Writer of failed runs: CSV with the columns id, kind, disposition and reason, or only ids in a `.txt` file.

    The other columns of a table that lists the runs follow. Its methods raise `click.ClickException` if the file cannot
    be written.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._written: set[tuple[str, str]] = set()
        self._ids_only = path.lower().endswith(".txt")
        # None until the heading is written.
        self._kept_columns: list[int] | None = None

    def add(self, failed: Outcome) -> None:
        """Write one failed run."""
        self._written.add((failed.kind, str(failed.run_id)))
        self._write_row(failed.run_id, failed.kind, failed.disposition, failed.reason)

    def add_from_journal(self, path: str, runs: Iterable[tuple[str, str]]) -> None:
        """Write the runs that failed in earlier parts of the job and were not cancelled since.

        Args:
            path: The journal.
            runs: Kinds and ids of the input, which have the cells of their rows.
        """
        failures: dict[tuple[str, str], tuple[str, str]] = {}
        for kind, run_id, disposition, reason in _read_journal(path):
            if disposition in FAILURES:
                failures[kind, run_id] = disposition, reason
            else:
                failures.pop((kind, run_id), None)
        for key in self._written & failures.keys():
            del failures[key]
        for kind, run_id in runs if failures else ():
            if (kind, run_id) in failures:
                self._write_row(run_id, kind, *failures.pop((kind, run_id)))
        for (kind, run_id), failure in failures.items():
            self._write_row(run_id, kind, *failure)

    def finish(self) -> None:
        """Write the heading of a file without a row."""
        if self._kept_columns is None and not self._ids_only:
            self._write_heading(None)

    def _write_row(self, run_id: str, kind: str, disposition: str, reason: str) -> None:
        if self._ids_only:
            self._write(f"{run_id}\n")
            return
        cells: list[str] = []
        kept = self._kept_columns
        if isinstance(run_id, RowId):
            cells = run_id.cells
            kept = self._write_heading(run_id.columns) if kept is None else kept
        elif kept is None:
            kept = self._write_heading(None)
        own = (run_id, kind, disposition, escape_control_chars(reason))
        self._write(_csv_line([*own, *(cells[number] if number < len(cells) else "" for number in kept)]))

    def _write_heading(self, columns: Columns | None) -> list[int]:
        self._kept_columns = kept = [] if columns is None else _find_kept_columns(columns)
        names = [] if columns is None else _distinct([columns.names[number] for number in kept])
        self._write(_csv_line([*_HEADING, *names]))
        return kept

    def _write(self, line: str) -> None:
        write_all(self._file, line.encode(errors="surrogateescape"), self._path)


@contextmanager
def open_failed_file(path: str) -> Iterator[FailedFile]:
    """Open the file of failed runs; it replaces an existing one only if the block ends without an exception.

    Raises:
        click.UsageError: The file cannot be written.
    """
    with open_replacement(path) as file:
        failed = FailedFile(path, file)
        yield failed
        failed.finish()


def _find_kept_columns(columns: Columns) -> list[int]:
    # A column that --column has named stays, so that the same command accepts the file.
    is_kept = columns.is_chosen and columns.names[columns.run_id].lower() != "id"
    dropped = {columns.kind, None if is_kept else columns.run_id}
    if columns.names[: len(_HEADING)] == _HEADING:
        # Such a file itself.
        dropped.update(range(len(_HEADING)))
    return [number for number in range(len(columns.names)) if number not in dropped]


def _distinct(names: list[str]) -> list[str]:
    # Only names of the file's own columns change: --column may name any other.
    taken = {*_HEADING, *(name.lower() for name in names)}
    distinct: list[str] = []
    for original in names:
        name = original
        if original.lower() in _HEADING:
            while name.lower() in taken:
                name = f"input_{name}"
            taken.add(name.lower())
        distinct.append(name)
    return distinct


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


def _csv_line(row: list[str]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(quote_formula, row))
    return line.getvalue()
