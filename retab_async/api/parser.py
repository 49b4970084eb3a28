"""What the answers of one collection say: a run, a page of runs, a row. No I/O in here."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from retab_async.api.kind import KindSpec
from retab_async.errors import ResponseError, SchemaMismatchError
from retab_async.listing import Page
from retab_async.polling import RawPage
from retab_async.protocol import MAX_LINE_BYTES, Response, parse_json, read_retry_after, response_error
from retab_async.text import single_line


class Named(Protocol):
    """What has an id, as a run has."""

    @property
    def id(self) -> str:
        """By which the API knows it."""


RunT = TypeVar("RunT", bound=Named)

_logger = logging.getLogger("retab_async")


class RunParser(Generic[RunT]):
    """Reads the answers of the collection at `path`, whose runs are of `run_type` and spoken of in this dialect."""

    def __init__(self, path: str, run_type: type[RunT], spec: KindSpec) -> None:
        self._path = path
        self._run_type = run_type
        self._spec = spec

    @cached_property
    def _structure(self) -> Callable[[object], RunT]:
        # cattrs is a third of what importing this package takes, and a kind that nobody reads needs no hooks.
        from retab_async.converter import make_structurer  # noqa: PLC0415

        return make_structurer(self._run_type)

    def parse_run(self, response: Response, run_id: str) -> RunT:
        """Return the run that was asked for by its id; `ResponseError` for a body of another shape."""
        value = parse_json(response)
        try:
            # The cheap read may say no more than the status; whose it is, the caller knows.
            nameless = isinstance(value, dict) and value.get("id") is None
            return self._structure({**value, "id": run_id} if nameless else value)
        except SchemaMismatchError as error:
            raise response_error(response, str(error), error.path) from None

    def parse_cancel(self, response: Response, run_id: str) -> RunT:
        """Return as much as can be read of a run whose cancel was accepted; what does not fit is logged.

        Raises `ResponseError` where not even a status can be read.
        """
        value = self._spec.run_of_cancel(parse_json(response))
        try:
            return self._structure(value)
        except SchemaMismatchError as error:
            misfit = error
        if not isinstance(value, dict):
            raise response_error(response, str(misfit))
        named = value if isinstance(value.get("id"), str) else {**value, "id": run_id}
        return self._what_fits(response, named, misfit)

    def refusal(self, response: Response) -> ResponseError | None:
        """Return the error for an answer that says that the cancel was of no use, None for any other."""
        if not self._spec.is_refusal(parse_json(response)):
            return None
        return response_error(response, "the API says that the run could not be cancelled")

    def parse_create(self, response: Response) -> RunT:
        """Return as much as can be read of a run that was created; `ResponseError` where not even its id can be."""
        value = parse_json(response)
        try:
            return self._structure(value)
        except SchemaMismatchError as error:
            misfit = error
        if not isinstance(value, dict) or not isinstance(value.get("id"), str):
            raise response_error(response, str(misfit), misfit.path)
        return self._what_fits(response, self._spec.with_status(value), misfit)

    def parse_stream_state(self, response: Response, run_id: str) -> RunT:
        """Return as much as can be read of a run that a line of a stream shows, whose id may not be told yet.

        `ResponseError` for a line that is no JSON object.
        """
        if len(response.body) > MAX_LINE_BYTES:
            raise response_error(response, f"a line is longer than {MAX_LINE_BYTES} bytes")
        value = parse_json(response)
        if not isinstance(value, dict):
            raise response_error(response, "a line is no object")
        named = value if isinstance(value.get("id"), str) else {**value, "id": run_id}
        run, misfits = self._fitting(self._spec.with_status(named))
        if misfits:
            _logger.debug("%s: left at their defaults: %s", self._path, "; ".join(map(str, misfits)))
        return run

    def parse_page(self, response: Response) -> Page[RunT]:
        """Return a page of a list; a row that does not fit comes with defaults, one without an id is left out."""
        rows, cursors = _list_of(response)
        before, after = (cursors.get(name) for name in ("before", "after"))
        runs = (self._row(row, number) for number, row in enumerate(rows))
        return Page(
            items=tuple(run for run in runs if run is not None),
            before=before if isinstance(before, str) else None,
            after=after if isinstance(after, str) else None,
        )

    def parse_raw_page(self, response: Response) -> RawPage:
        """Return a page of a list as it came, for those who wait."""
        rows, cursors = _list_of(response)
        after = cursors.get("after")
        return RawPage(rows, after if isinstance(after, str) else None, hint(response))

    def parse_row(self, row: dict[str, Any]) -> tuple[RunT, bool] | None:
        """Return the run that a row shows and whether it is all of it, or None for a row that does not fit."""
        try:
            return self._structure(row), "output" in row or not self._spec.has_output
        except SchemaMismatchError:
            return None

    def _row(self, row: Any, number: int) -> RunT | None:
        try:
            return self._structure(row)
        except SchemaMismatchError as error:
            misfit = error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            _logger.warning("%s: row %d of the list has no id and is left out: %s", self._path, number, misfit)
            return None
        run, misfits = self._fitting(self._spec.with_status(row))
        self._log(run, misfits or (misfit,))
        return run

    def _what_fits(self, response: Response, value: dict[str, Any], misfit: SchemaMismatchError) -> RunT:
        try:
            run, misfits = self._fitting(value)
        except SchemaMismatchError as error:
            raise response_error(response, str(error), error.path) from None
        self._log(run, misfits or (misfit,))
        return run

    def _fitting(self, value: dict[str, Any]) -> tuple[RunT, tuple[SchemaMismatchError, ...]]:
        from retab_async.converter import structure_leniently  # noqa: PLC0415 - as above

        try:
            return structure_leniently(value, self._run_type)
        except SchemaMismatchError as error:
            # What stands beside the status must not keep it from being read.
            run, misfits = structure_leniently(self._spec.status_alone(value), self._run_type)
            return run, (error, *misfits)

    def _log(self, run: RunT, misfits: tuple[SchemaMismatchError, ...]) -> None:
        _logger.warning(
            "%s %s: left at their defaults: %s", self._path, single_line(run.id), "; ".join(map(str, misfits))
        )


def hint(response: Response) -> float | None:
    """Return after how many seconds a 2xx says to look again, None where it does not."""
    return read_retry_after(response.headers, datetime.now(UTC))


def _list_of(response: Response) -> tuple[list[Any], dict[str, Any]]:
    value = parse_json(response)
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise response_error(response, "the answer holds no list", "data")
    told = value.get("list_metadata")
    return rows, told if isinstance(told, dict) else {}
