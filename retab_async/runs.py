"""Every verb that runs share, written once."""

import logging
from typing import Generic, TypeVar

from retab_async.errors import InvalidRunIdError, ResponseError, ShapeError
from retab_async.models import Run
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
