"""The file of `process --out`: one record for each document, as JSON lines or CSV."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import orjson

from retab_async.cli.spreadsheet import quote_formula
from retab_async.json_codec import dumps_any
from retab_async.process.results import ProcessResult, Scalar


class RecordFile:
    """Writer of records as JSON lines, each of which is in the file when `write` returns.

    Rows of an earlier part of the job stay: a torn last line is dropped, and a run that has a row gets no second one.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        # Hashes: the chance that two of a million ids share one is 1 in 30 millions.
        self._runs: set[int] = set()
        self._failures: set[int] = set()
        self._load()

    def has_run(self, run_id: str) -> bool:
        """Tell whether a run has a row."""
        return hash(run_id) in self._runs

    def has_failure(self, record: dict[str, Scalar]) -> bool:
        """Tell whether an earlier part of the job wrote the same failure of the same document."""
        return hash((record["item"], record["status"])) in self._failures

    def write(self, record: dict[str, Scalar]) -> None:
        """Write a record, unless its run has one; raises `click.ClickException` if the file cannot be written."""
        run_id = record["run_id"]
        if run_id is not None:
            if self.has_run(str(run_id)):
                return
            self._runs.add(hash(run_id))
        try:
            self._file.write(dumps_any(record) + b"\n")
        except OSError as error:
            msg = f"{self._path} cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None

    def _load(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            record = _parse(line, self._path)
            run_id = record.get("run_id")
            if run_id:
                self._runs.add(hash(run_id))
            if record.get("error"):
                self._failures.add(hash((record.get("item"), record.get("status"))))
        self._file.seek(end)
        self._file.truncate()


@contextmanager
def open_record_file(path: str, *, may_continue: bool) -> Iterator[RecordFile]:
    """Open the file of records, which is CSV if its name ends with `.csv`.

    The columns of CSV are known at the end only: until then the rows are in a hidden file beside it, where the same
    command finds them after a crash.

    Args:
        path: The file.
        may_continue: Whether rows may be added to an existing file.

    Raises:
        click.UsageError: The file cannot be written, or is not empty and may not be continued.
    """
    target = Path(path)
    is_csv = target.suffix.lower() == ".csv"
    written = target.with_name(f".{target.name}.part") if is_csv else target
    if not may_continue and any(each.exists() and each.stat().st_size for each in (target, written)):
        msg = f"{path} is not empty: choose another file, or pass --journal FILE to continue its job"
        raise click.UsageError(msg)
    try:
        is_new = not written.exists()
        file = os.fdopen(os.open(written, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise click.UsageError(msg) from None
    with file:
        if is_csv and is_new and target.exists():
            _copy_csv(target, file)
        yield RecordFile(path, file)
        if is_csv:
            _write_csv(target, file)
    if is_csv:
        written.unlink()


def _copy_csv(source: Path, file: IO[bytes]) -> None:
    with source.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            file.write(dumps_any({name: value or None for name, value in row.items()}) + b"\n")


def _write_csv(target: Path, file: IO[bytes]) -> None:
    names: dict[str, None] = dict.fromkeys(ProcessResult.FIELDS)
    for record in _records(file):
        names.update(dict.fromkeys(record))
    temporary = target.with_name(f".{target.name}.new")
    try:
        with temporary.open("w", newline="", encoding="utf-8", errors="replace") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(names)
            for record in _records(file):
                writer.writerow([_cell(record.get(name)) for name in names])
        temporary.replace(target)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror}"
        raise click.ClickException(msg) from None
    finally:
        temporary.unlink(missing_ok=True)


def _records(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    file.seek(0)
    for line in file:
        yield _parse(line, "")


def _parse(line: bytes, path: str) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        msg = f"{path} is not a file of records: choose another file"
        raise click.UsageError(msg)
    return record


def _cell(value: Scalar) -> str:
    if value is None:
        return ""
    return quote_formula(value) if isinstance(value, str) else str(value)
