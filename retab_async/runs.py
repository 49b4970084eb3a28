"""Every verb that runs share, written once."""

import logging
from datetime import date
from typing import Any, Generic, Literal, TypeVar

from retab_async.errors import InvalidRunIdError, NotFoundError, ResponseError, ShapeError
from retab_async.listing import Page, RunList, list_query
from retab_async.models import Run, RunStatus
from retab_async.protocol import CANCEL_CAP, Request, Response, read_response, response_error, run_path
from retab_async.transport import Transport

RunT = TypeVar("RunT", bound=Run)

_logger = logging.getLogger("retab_async")


class RunResource(Generic[RunT]):
    """The runs of one kind; a kind declares its `path` and `run_type` and brings its models."""

    path: str
    run_type: type[RunT]

    def __init__(self, transport: Transport) -> None:
        # cattrs is a third of what importing this package takes, and before there is a client nothing needs it.
        from retab_async.converter import structure_what_fits, structurer  # noqa: PLC0415

        self._transport = transport
        self._structure = structurer(self.run_type)
        self._structure_what_fits = structure_what_fits

    async def cancel(self, run_id: str | RunT) -> RunT:
        """Cancel a run and return it as it then is; `run_id` is its id or the run itself.

        Idempotent: a run that had completed, failed or been cancelled comes back unchanged, so read `status`. Once the
        API has accepted the cancel this does not fail for the shape of the answer: what does not fit is left at its
        default and logged.

        Raises `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s,
        `APIConnectionError` (the run may or may not be cancelled: call it again), `ResponseError` where no status can
        be had of the run, not even by a `GET`.

        `POST {path}/{id}/cancel`
        """
        run_id = self._id_of(run_id)
        ends = self._transport.ends()
        try:
            request = Request("POST", run_path(self.path, run_id, "/cancel"), cap=CANCEL_CAP)
            return self._read_what_fits(await self._transport.send(request, ends), run_id)
        except ResponseError as error:
            _logger.warning("the cancel was accepted, its answer says no status: reading the run: %s", error)
        request = self._get_request(run_id, include_output=False)
        return self._read_what_fits(await self._transport.send(request, ends), run_id)

    async def get(self, run_id: str | RunT, *, include_output: bool = True) -> RunT:
        """Return a run as it is now; with `include_output=False` a cheap read, of the status above all.

        Raises `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s,
        `APIConnectionError`, and `ResponseError` for a body of another shape, with the place in its `path`.

        `GET {path}/{id}`
        """
        run_id = self._id_of(run_id)
        request = self._get_request(run_id, include_output=include_output)
        response = await self._transport.send(request, self._transport.ends())
        value = read_response(response)
        try:
            # The cheap read may say no more than the status; whose it is, the caller knows.
            nameless = isinstance(value, dict) and value.get("id") is None
            return self._structure({**value, "id": run_id} if nameless else value)
        except ShapeError as error:
            raise response_error(response, str(error), error.path) from None

    def list(  # noqa: PLR0913 - the filters of a list, each by its name
        self,
        *,
        status: RunStatus | str | None = None,
        filename: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunList[RunT]:
        """Return the runs that match all filters, newest first, as `async for` that asks page by page as it goes.

        `filename`: its start, in either case. `from_date`, `to_date`: when a run was created; a `date` is that whole
        day in UTC, a `datetime` must be an aware one. `limit`: runs a page, 1 to 100, not in all. `after`, `before`:
        the id to go on from, forward or backward page by page. A row that does not fit is given with defaults and
        logged, one without an id left out.

        Raises `InvalidRequestError` at once; where it is walked, what `get` raises.

        `GET {path}`
        """
        query = list_query(
            status=status,
            filename=filename,
            from_date=from_date,
            to_date=to_date,
            order=order,
            limit=limit,
            before=before,
            after=after,
        )
        return RunList(self._page, query)

    async def delete(self, run_id: str | RunT) -> None:
        """Delete a run; one that is still going on is to be cancelled first.

        A repeat whose earlier attempt may have deleted the run takes its absence for success. Raises
        `InvalidRunIdError` before anything is sent, `NotFoundError` and the other `APIError`s, `APIConnectionError`.

        `DELETE {path}/{id}`
        """
        request = Request("DELETE", run_path(self.path, self._id_of(run_id)))
        try:
            await self._transport.send(request, self._transport.ends())
        except NotFoundError as error:
            if not error.in_doubt:
                raise

    async def _page(self, query: str) -> Page[RunT]:
        response = await self._transport.send(Request("GET", self.path, query), self._transport.ends())
        value = read_response(response)
        rows = value.get("data") if isinstance(value, dict) else None
        if not isinstance(rows, list):
            raise response_error(response, "no list of runs", "data")
        told = value.get("list_metadata")
        cursors = told if isinstance(told, dict) else {}
        before, after = (cursors.get(name) for name in ("before", "after"))
        runs = (self._row(row, number) for number, row in enumerate(rows))
        return Page(
            runs=tuple(run for run in runs if run is not None),
            before=before if isinstance(before, str) else None,
            after=after if isinstance(after, str) else None,
        )

    def _row(self, row: Any, number: int) -> RunT | None:
        try:
            return self._structure(row)
        except ShapeError as error:
            misfit = error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            _logger.warning("%s: row %d of the list has no id and is left out: %s", self.path, number, misfit)
            return None
        if not isinstance(row.get("status"), str) or not row["status"]:
            # What the API documents for a status that is not told.
            row = {**row, "status": str(RunStatus.PENDING)}
        run, misfits = self._structure_what_fits(row, self.run_type)
        _logger.warning("%s %s: left at their defaults: %s", self.path, run.id, "; ".join(map(str, misfits)) or misfit)
        return run

    def _get_request(self, run_id: str, *, include_output: bool) -> Request:
        return Request("GET", run_path(self.path, run_id), query="" if include_output else "include_output=false")

    def _id_of(self, run: str | RunT) -> str:
        if not isinstance(run, Run):
            return run
        if not isinstance(run, self.run_type):
            msg = f"a {type(run).__name__} is not a run of {self.path}"
            raise InvalidRunIdError(msg)
        return run.id

    def _read_what_fits(self, response: Response, run_id: str) -> RunT:
        value = read_response(response)
        try:
            return self._structure(value)
        except ShapeError as error:
            misfit = error
        if not isinstance(value, dict):
            raise response_error(response, str(misfit))
        told = value if isinstance(value.get("id"), str) else {**value, "id": run_id}
        try:
            run, misfits = self._structure_what_fits(told, self.run_type)
        except ShapeError as error:
            raise response_error(response, str(error), error.path) from None
        _logger.warning("%s %s: left at their defaults: %s", self.path, run.id, "; ".join(map(str, misfits)) or misfit)
        return run
