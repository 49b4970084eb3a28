"""Parser for the responses of one kind of run: JSON to runs, pages and rows. No I/O."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from retab_async.api.kind import KindSpec
from retab_async.errors import ConfigurationError, ResponseError, SchemaMismatchError
from retab_async.listing import Page
from retab_async.polling import RawPage
from retab_async.protocol import MAX_LINE_BYTES, Response, parse_json, read_retry_after, response_error
from retab_async.text import single_line


class HasId(Protocol):
    """An object with an id, such as a run."""

    @property
    def id(self) -> str:
        """The id of the object on the server."""


RunT = TypeVar("RunT", bound=HasId)

# The API's largest page; no request asks for more.
MAX_PAGE_ROWS = 100

_logger = logging.getLogger("retab_async")


class RunParser(Generic[RunT]):
    """Parser for the responses of one kind of run.

    Args:
        path: The route of the kind, such as `/v1/splits`; it begins every log line.
        run_type: The class of the runs.
        spec: The wire format of the kind.
    """

    def __init__(self, path: str, run_type: type[RunT], spec: KindSpec) -> None:
        self._path = path
        self._run_type = run_type
        self._spec = spec
        # Not a cached property: an object that has one has slow attributes on Python 3.11.
        self._structure: Callable[[object], RunT] | None = None

    def prepare(self) -> None:
        """Build the hooks of the converter.

        Raises:
            ConfigurationError: A dependency is too old.
        """
        if self._structure is None:
            self._structurer()

    def _structurer(self) -> Callable[[object], RunT]:
        if self._structure is None:
            # cattrs takes a third of this package's import time, and unused kinds need no hooks.
            try:
                from retab_async.converter import make_structurer  # noqa: PLC0415
            except ImportError as error:
                msg = f"responses cannot be parsed: {error}; install the versions that retab_async requires"
                raise ConfigurationError(msg) from error
            self._structure = make_structurer(self._run_type)
        return self._structure

    def parse_run(self, response: Response, run_id: str) -> RunT:
        """Return a run that was read by its id, with fields that do not fit at their defaults and logged.

        Raises:
            ResponseError: The response has no readable id or status, or is about another run.
        """
        run, mismatches = self.parse_poll(response, run_id)
        if mismatches:
            self.log_defaults(run, mismatches)
        return run

    def parse_poll(self, response: Response, run_id: str) -> tuple[RunT, tuple[SchemaMismatchError, ...]]:
        """Return a run as `parse_run` does, and what did not fit instead of a log line."""
        value = parse_json(response)
        # A read without the output may be the status alone; the caller knows the id.
        if isinstance(value, dict) and value.get("id") is None:
            value = {**value, "id": run_id}
        try:
            return self._checked(response, self._structurer()(value), run_id), ()
        except SchemaMismatchError as error:
            mismatch = error
        if not isinstance(value, dict):
            raise response_error(response, str(mismatch), mismatch.path)
        run, mismatches = self._parse_leniently(response, value, mismatch)
        return self._checked(response, run, run_id), mismatches

    def parse_cancel(self, response: Response, run_id: str) -> tuple[RunT, ResponseError | None]:
        """Return the run of an accepted cancel, and the error if the server says that the cancel failed.

        Fields that do not fit are at their defaults and logged.

        Raises:
            ResponseError: The response has no readable status, or is about another run.
        """
        value = parse_json(response)
        inner = self._spec.unwrap_cancel(value) if self._spec.cancel_envelope else value
        try:
            run = self._structurer()(inner)
        except SchemaMismatchError as error:
            run = self._parse_unfit_cancel(response, inner, run_id, error)
        if run.id != run_id:
            self._checked(response, run, run_id)
        if self._spec.cancel_failure_marker is None or not self._spec.is_cancel_failure(value):
            return run, None
        return run, response_error(response, "the API says that the run could not be cancelled")

    def parse_create(self, response: Response) -> RunT:
        """Return a created run, with fields that do not fit at their defaults and logged.

        Raises:
            ResponseError: The response has no readable id.
        """
        value = parse_json(response)
        try:
            return self._structurer()(value)
        except SchemaMismatchError as error:
            mismatch = error
        if not isinstance(value, dict) or not isinstance(value.get("id"), str):
            raise response_error(response, str(mismatch), mismatch.path)
        run, mismatches = self._parse_leniently(response, self._spec.with_default_status(value), mismatch)
        self.log_defaults(run, mismatches)
        return run

    def parse_stream_state(self, response: Response, run_id: str) -> RunT:
        """Return the state of a run from one line of a stream; `run_id` is for a line without an id.

        Raises:
            ResponseError: The line is too long, is not a JSON object, or is about another run.
        """
        if len(response.body) > MAX_LINE_BYTES:
            raise response_error(response, f"a line is longer than {MAX_LINE_BYTES} bytes")
        value = parse_json(response)
        if not isinstance(value, dict):
            raise response_error(response, "a line is not a JSON object")
        run, mismatches = self._structure_leniently(self._spec.with_default_status(_with_id(value, run_id)))
        if mismatches:
            _logger.debug("%s: %s", self._path, _defaults(mismatches))
        return self._checked(response, run, run_id or run.id)

    def parse_page(self, response: Response) -> Page[RunT]:
        """Return a page of the list: fields that do not fit get their defaults, unreadable rows are left out.

        One warning is logged for all of them.

        Raises:
            ResponseError: The response has no list, or more rows than a page may have.
        """
        rows, cursors = _rows_and_cursors(response)
        before, after = (cursors.get(name) for name in ("before", "after"))
        problems: list[str] = []
        runs = [self._parse_listed(row, number, problems) for number, row in enumerate(rows)]
        if problems:
            more = f"; and {len(problems) - 1} more rows" if len(problems) > 1 else ""
            _logger.warning("%s: page of %d rows: %s%s", self._path, len(rows), problems[0], more)
        return Page(
            items=tuple(run for run in runs if run is not None),
            before=before if isinstance(before, str) else None,
            after=after if isinstance(after, str) else None,
        )

    def parse_raw_page(self, response: Response) -> RawPage:
        """Return a page of the list with its rows as JSON, for pollers."""
        rows, cursors = _rows_and_cursors(response)
        after = cursors.get("after")
        return RawPage(rows, after if isinstance(after, str) else None, poll_hint(response))

    def parse_row(self, row: dict[str, Any]) -> tuple[RunT, bool] | None:
        """Return the run in a row of a raw page and whether the row is complete, or None without an id or status."""
        try:
            return self._structurer()(row), "output" in row or not self._spec.has_output
        except SchemaMismatchError:
            pass
        try:
            # Not complete: a finished run is read once more by itself, which logs what does not fit.
            return self._structure_leniently(row)[0], False
        except SchemaMismatchError:
            return None

    def _parse_unfit_cancel(self, response: Response, value: Any, run_id: str, mismatch: SchemaMismatchError) -> RunT:
        if not isinstance(value, dict):
            raise response_error(response, str(mismatch))
        run, mismatches = self._parse_leniently(response, _with_id(value, run_id), mismatch)
        self.log_defaults(run, mismatches)
        return run

    def _parse_listed(self, row: Any, number: int, problems: list[str]) -> RunT | None:
        try:
            return self._structurer()(row)
        except SchemaMismatchError as error:
            mismatch = error
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            # With an id and a default status, only optional fields are left that may not fit.
            run, mismatches = self._structure_leniently(self._spec.with_default_status(row))
            problems.append(f"{single_line(run.id)}: {_defaults(mismatches or (mismatch,))}")
            return run
        problems.append(f"row {number} is unreadable, left out: {mismatch}")
        return None

    def _parse_leniently(
        self, response: Response, value: dict[str, Any], mismatch: SchemaMismatchError
    ) -> tuple[RunT, tuple[SchemaMismatchError, ...]]:
        try:
            run, mismatches = self._structure_leniently(value)
        except SchemaMismatchError as error:
            raise response_error(response, str(error), error.path) from None
        return run, mismatches or (mismatch,)

    def _structure_leniently(self, value: dict[str, Any]) -> tuple[RunT, tuple[SchemaMismatchError, ...]]:
        from retab_async.converter import structure_leniently  # noqa: PLC0415 - see `_structurer`

        return structure_leniently(value, self._run_type)

    def log_defaults(self, run: RunT, mismatches: tuple[SchemaMismatchError, ...]) -> None:
        """Log one warning with the paths of the fields of a run that are at their defaults."""
        _logger.warning("%s %s: %s", self._path, single_line(run.id), _defaults(mismatches))

    @staticmethod
    def _checked(response: Response, run: RunT, run_id: str) -> RunT:
        if run.id != run_id:
            raise response_error(response, f"the response is about another run, {single_line(run.id)[:200]!r}", "id")
        return run


def poll_hint(response: Response) -> float | None:
    """Return the seconds until the next poll that a 2xx response asks for in `Retry-After`, None without one."""
    return read_retry_after(response.headers, datetime.now(UTC))


def _defaults(mismatches: tuple[SchemaMismatchError, ...]) -> str:
    return f"fields left at their defaults: {'; '.join(map(str, mismatches))}"


def _with_id(value: dict[str, Any], run_id: str) -> dict[str, Any]:
    return value if isinstance(value.get("id"), str) else {**value, "id": run_id}


def _rows_and_cursors(response: Response) -> tuple[list[Any], dict[str, Any]]:
    value = parse_json(response)
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise response_error(response, "the response has no list", "data")
    if len(rows) > MAX_PAGE_ROWS:
        raise response_error(response, f"the page has {len(rows)} rows, more than {MAX_PAGE_ROWS}", "data")
    cursors = value.get("list_metadata")
    return rows, cursors if isinstance(cursors, dict) else {}
