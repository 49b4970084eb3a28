"""Id files: runs listed one a line, as plain ids, CSV, TSV or JSON lines."""

import csv
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

import attrs
import click
import orjson

from retab_async.cli.console import escape_control_chars
from retab_async.cli.spreadsheet import unquote_formula
from retab_async.errors import InvalidRunIdError
from retab_async.protocol import run_path
from retab_async.resources import RESOURCES

_DELIMITER = re.compile(r"[\t;,]")
_QUOTED = re.compile(r'"[^"]*"')
_ID_HEADINGS = frozenset({"id", "run_id"})
_KIND_HEADING = "kind"
_MAX_CHARS_SHOWN = 100
# Of a word and the kind that it may stand for, such as split and splits.
_MIN_SIMILARITY = 0.8


class IdFileError(click.UsageError):
    """A line of an id file is not clearly a run."""


@attrs.frozen(kw_only=True)
class IdFormat:
    """What an id file holds.

    Attributes:
        source: The name of the file, for errors.
        kind: The kind of all its runs, or None if each row names its own.
        column: The heading of the column of ids, or None for `id` or `run_id`.
    """

    source: str
    kind: str | None = None
    column: str | None = None


class Columns(NamedTuple):
    """The layout that a heading declares.

    Attributes:
        delimiter: Between two cells.
        names: The headings.
        run_id: Number of the column of ids, from 0.
        kind: Number of the column of kinds, None without one.
        is_chosen: Whether the column of ids was named with `--column`.
    """

    delimiter: str
    names: tuple[str, ...]
    run_id: int
    kind: int | None
    is_chosen: bool


class RowId(str):
    """A run id that carries its row through a job, for the file of failed runs.

    Attributes:
        columns: The layout of its table.
        cells: The cells of its row.
    """

    __slots__ = ("cells", "columns")

    columns: Columns
    cells: list[str]


def normalize_kind(text: str) -> str:
    """Return the name of a kind as the registry has it, `workflows.runs` for `workflows/runs`."""
    return text.strip().replace("/", ".")


def describe_unknown_kind(text: str) -> str:
    """Return what is wrong with a text that is not a kind, and the kind that it may stand for."""
    similar = get_close_matches(normalize_kind(text).lower(), RESOURCES, 1, _MIN_SIMILARITY)
    hint = f"did you mean {similar[0]}?" if similar else f"the kinds are {', '.join(RESOURCES)}"
    return f"{text!r:.100} is not a kind: {hint}"


class IdFileParser:
    """Parser of an id file, line by line.

    A line is an id; or a kind and an id, separated by a comma, a semicolon or a tab; or a tab-separated line that
    begins with an id, as `list` prints it; or a JSON object with an `id`, as `list --json` prints it. After a heading,
    the columns are those that it names. Blank lines and those that begin with `#` are skipped. Every other line is an
    error: a guess could cancel the wrong run.
    """

    def __init__(self, file_format: IdFormat) -> None:
        self._format = file_format
        self._columns: Columns | None = None
        self._is_first = True
        self._number = 0
        self._line = ""

    def parse(self, line: str) -> tuple[str, str] | None:
        """Return the kind and the id of a line, or None if it is to be skipped; raises `IdFileError`."""
        self._number += 1
        self._line = line
        if not line or line.isspace() or line.startswith("#"):
            return None
        if line.startswith("{"):
            return self._parse_json(line)
        if self._is_first:
            self._is_first = False
            self._columns = self._parse_heading(line)
            if self._columns:
                return None
        return self._parse_row(line, self._columns) if self._columns else self._parse_plain(line.strip())

    def _parse_heading(self, line: str) -> Columns | None:
        match = _DELIMITER.search(_QUOTED.sub("", line))
        delimiter = match[0] if match else ","
        headings = self._split(line, delimiter)
        # The file of failed runs quotes a heading that a spreadsheet would run as a formula.
        names = [unquote_formula(cell.lower()) for cell in headings]
        column = self._format.column
        wanted = _ID_HEADINGS if column is None else {unquote_formula(column.strip().lower())}
        found = [number for number, name in enumerate(names) if name in wanted]
        if len(found) == 1:
            kind = names.index(_KIND_HEADING) if _KIND_HEADING in names else None
            if kind is None and self._format.kind is None:
                self._reject("there is no column kind: add one, or pass --kind")
            return Columns(delimiter, tuple(headings), found[0], kind, column is not None)
        if found:
            self._reject("several columns may be the id: pass --column NAME")
        if column is not None:
            self._reject(f"there is no column {column!r}")
        if _KIND_HEADING in names and len(names) > 1:
            self._reject("no column is named id: name it with --column")
        return None

    def _parse_row(self, line: str, columns: Columns) -> tuple[str, str]:
        cells = self._split(line, columns.delimiter)
        kind = "" if columns.kind is None else _cell(cells, columns.kind)
        found, run_id = self._check(kind, _cell(cells, columns.run_id))
        row_id = RowId(run_id)
        row_id.columns, row_id.cells = columns, cells
        return found, row_id

    def _parse_plain(self, line: str) -> tuple[str, str]:
        # Neither a kind nor an id contains a delimiter, so the first one ends the first cell.
        match = _DELIMITER.search(line)
        if match is None:
            return self._check("", self._split(line, ",")[0])
        cells = self._split(line, match[0])
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) > 1 and normalize_kind(cells[0]) in RESOURCES:
            return self._check(cells[0], cells[1])
        if len(cells) > 1 and match[0] != "\t":
            if get_close_matches(normalize_kind(cells[0]), RESOURCES, 1, _MIN_SIMILARITY):
                self._reject(describe_unknown_kind(cells[0]))
            self._reject("several columns without a heading: add one with the name id")
        return self._check("", _cell(cells, 0))

    def _parse_json(self, line: str) -> tuple[str, str]:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._reject("not valid JSON")
        run_id, kind = row.get("id"), row.get("kind")
        return self._check(kind if isinstance(kind, str) else "", run_id if isinstance(run_id, str) else "")

    def _check(self, kind: str, run_id: str) -> tuple[str, str]:
        found = normalize_kind(kind) or self._format.kind
        if found is None:
            self._reject("no kind: write KIND,ID, or pass --kind")
        if found not in RESOURCES:
            self._reject(describe_unknown_kind(kind))
        if self._format.kind is not None and found != self._format.kind:
            self._reject(f"this is a run of {found}, but the command cancels runs of {self._format.kind}")
        try:
            run_path("", run_id)
        except InvalidRunIdError:
            self._reject(f"{run_id!r:.100} is not a run id" if run_id else "no run id")
        return found, run_id

    def _split(self, line: str, delimiter: str) -> list[str]:
        if '"' not in line:
            return [cell.strip() for cell in line.split(delimiter)]
        try:
            (cells,) = csv.reader([line.strip(" ")], delimiter=delimiter, skipinitialspace=True, strict=True)
        except csv.Error:
            self._reject("its quotes do not match")
        return [cell.strip() for cell in cells]

    def _reject(self, reason: str) -> NoReturn:
        msg = f"{self._format.source}, line {self._number}: {reason}: {self._line:.{_MAX_CHARS_SHOWN}}"
        raise IdFileError(escape_control_chars(msg))


def _cell(cells: Sequence[str], number: int) -> str:
    return cells[number] if number < len(cells) else ""
