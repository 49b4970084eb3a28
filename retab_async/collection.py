"""The calls on the runs of one kind, each of them a request, one send and the reading of the answer."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson

from retab_async.dialects import Dialect
from retab_async.documents import create_body, sending_time
from retab_async.errors import CallError, NotFoundError, ResponseError
from retab_async.listing import Page
from retab_async.models import Run
from retab_async.protocol import CANCEL, CANCEL_CAP, BytesBody, Request, Response, Trail, run_path
from retab_async.reading import Reader, hint
from retab_async.retrying import RetryPolicy
from retab_async.transport import Transport
from retab_async.waiting import Rows

RunT = TypeVar("RunT", bound=Run)

# Seconds for which the answer to a create may be waited for that is given when all is done.
IN_FOREGROUND = 1800.0
_LISTING = RetryPolicy(attempts=1, deadline=5.0)

_logger = logging.getLogger("retab_async")


class Collection(Generic[RunT]):
    """The runs of one kind, by their `path` and `name`. Raises `ResponseError`, and what the transport raises."""

    def __init__(self, transport: Transport, path: str, reader: Reader[RunT], dialect: Dialect) -> None:
        self.transport = transport
        self.path = path
        # As it hangs on the client: /v1/schemas/generate are its schemas.
        self.name = path.removeprefix("/v1/").removesuffix("/generate").replace("/", ".")
        self.is_listed = dialect.is_listed
        self.has_output = dialect.has_output
        self._reader = reader
        self._dialect = dialect

    def over(self, transport: Transport) -> "Collection[RunT]":
        """Return the same collection, called over another transport."""
        return Collection(transport, self.path, self._reader, self._dialect)

    async def cancel(self, run_id: str) -> RunT:
        """Cancel a run; where the answer says no status, the run is read."""
        ends = self.transport.ends()
        fields = self._dialect.cancel_fields
        body = None if fields is None else BytesBody(orjson.dumps(fields()))
        request = Request("POST", run_path(self.path, run_id, CANCEL), "", CANCEL_CAP, body)
        try:
            response = await self.transport.send(request, ends)
            run = self._reader.cancelled(response, run_id)
        except ResponseError as error:
            _logger.warning("the cancel was accepted, its answer says no status: reading the run: %s", error)
            request = self._reading_of(run_id, include_output=False)
            return self._reader.cancelled(await self.transport.send(request, ends), run_id)
        except NotFoundError as error:
            if not self._dialect.is_absent_when_over:
                raise
            return await self._over(run_id, ends, error)
        refusal = None if run.status.is_terminal else self._reader.refusal(response)
        return run if refusal is None else await self._over(run_id, ends, refusal)

    async def _over(self, run_id: str, ends: float, refusal: CallError) -> RunT:
        run = self._reader.run(await self.transport.send(self._reading_of(run_id, include_output=True), ends), run_id)
        if not run.status.is_terminal:
            raise refusal
        return run

    @asynccontextmanager
    async def to_create(self, fields: Mapping[str, Any], key: str) -> AsyncIterator[Request]:
        """Give the request of a create, of use until this is left; what is large is uploaded before."""
        async with create_body(self.transport, fields) as body:
            # A kind that cannot be asked for in the foreground is always in the background.
            extra = sending_time(body.length) + (0 if fields.get("background", True) else IN_FOREGROUND)
            yield Request("POST", self.path, body=body, idempotency_key=key, extra=extra)

    async def create(self, request: Request, trail: Trail) -> RunT:
        """Create a run by a request that carries all of it; `trail` as in `Transport.send`."""
        response = await self.transport.send(request, self.transport.ends(request.extra), trail)
        try:
            return self._reader.created(response)
        except ResponseError:
            trail.in_doubt = True
            raise

    async def open_stream(self, fields: Mapping[str, Any], key: str) -> Response:
        """Create a run whose states come as the `lines` of the answer, which is to be closed; see `read_state`."""
        headers = (("Accept", "application/stream+json"),)
        async with self.to_create(fields, key) as create:
            request = create._replace(path=f"{self.path}/stream", headers=headers, is_streamed=True)
            return await self.transport.send(request, self.transport.ends(request.extra))

    def read_state(self, response: Response, line: bytes, run_id: str) -> RunT:
        """Return the run that a line of a stream shows; `run_id` is for one that does not tell it."""
        return self._reader.state(response._replace(body=line), run_id)

    async def look(self, run_id: str, *, include_output: bool) -> tuple[RunT, float | None]:
        """Return a run as it is now, and after how many seconds the server would have it looked at again."""
        request = self._reading_of(run_id, include_output=include_output)
        response = await self.transport.send(request, self.transport.ends())
        return self._reader.run(response, run_id), hint(response)

    async def page(self, query: str) -> Page[RunT]:
        """Return a page of the list."""
        request = Request("GET", self.path, query)
        return self._reader.page(await self.transport.send(request, self.transport.ends()))

    async def rows(self, after: str | None) -> Rows:
        """Return the page of 100 runs, newest first, that comes after a cursor, as it came."""
        query = urlencode({"limit": 100} if after is None else {"limit": 100, "after": after})
        # Many wait for this one, and will have it tried again themselves.
        hasty = self.transport.hastened(timeout=_LISTING.deadline, policy=_LISTING)
        return self._reader.rows(await hasty.send(Request("GET", self.path, query), hasty.ends()))

    def read_row(self, row: dict[str, Any]) -> tuple[RunT, bool] | None:
        """Return the run that a row shows and whether it is all of it, or None for a row that does not fit."""
        return self._reader.row(row)

    async def delete(self, run_id: str) -> None:
        """Delete a run; that it is not there is success where an earlier attempt may have deleted it."""
        request = Request("DELETE", run_path(self.path, run_id))
        try:
            await self.transport.send(request, self.transport.ends())
        except NotFoundError as error:
            if not error.in_doubt:
                raise

    def _reading_of(self, run_id: str, *, include_output: bool) -> Request:
        query = "" if include_output or not self.has_output else "include_output=false"
        return Request("GET", run_path(self.path, run_id), query)
