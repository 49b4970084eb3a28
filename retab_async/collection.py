"""The calls on the runs of one kind, each of them a request, one send and the reading of the answer."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from retab_async.documents import Document, create_body, sending_time
from retab_async.errors import NotFoundError, ResponseError
from retab_async.listing import Page
from retab_async.models import Run
from retab_async.protocol import CANCEL_CAP, Request, Trail, run_path
from retab_async.reading import Reader, hint
from retab_async.transport import Transport
from retab_async.waiting import Rows

RunT = TypeVar("RunT", bound=Run)

# Seconds for which the answer to a create may be waited for that is given when all is done.
_IN_FOREGROUND = 1800.0

_logger = logging.getLogger("retab_async")


class Collection(Generic[RunT]):
    """The runs of one kind, at a `path` ending in their `name`; raises `ResponseError`, and what the transport does."""

    def __init__(self, transport: Transport, path: str, reader: Reader[RunT]) -> None:
        self.transport = transport
        self.path = path
        self.name = path.rsplit("/", 1)[-1]
        self._reader = reader

    def over(self, transport: Transport) -> "Collection[RunT]":
        """Return the same collection, called over another transport."""
        return Collection(transport, self.path, self._reader)

    async def cancel(self, run_id: str) -> RunT:
        """Cancel a run; where the answer says no status, the run is read."""
        ends = self.transport.ends()
        try:
            request = Request("POST", run_path(self.path, run_id, "/cancel"), cap=CANCEL_CAP)
            return self._reader.changed(await self.transport.send(request, ends), run_id)
        except ResponseError as error:
            _logger.warning("the cancel was accepted, its answer says no status: reading the run: %s", error)
        request = self._reading_of(run_id, include_output=False)
        return self._reader.changed(await self.transport.send(request, ends), run_id)

    @asynccontextmanager
    async def to_create(self, document: Document, fields: Mapping[str, Any], key: str) -> AsyncIterator[Request]:
        """Give the request of a create, of use until this is left; what is large is uploaded before."""
        async with create_body(self.transport, document, fields) as body:
            extra = sending_time(body.length) + (0 if fields["background"] else _IN_FOREGROUND)
            yield Request("POST", self.path, body=body, idempotency_key=key, extra=extra)

    async def create(self, request: Request, trail: Trail) -> RunT:
        """Create a run by a request that carries all of it; `trail` as in `Transport.send`."""
        return self._reader.created(await self.transport.send(request, self.transport.ends(request.extra), trail))

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
        request = Request("GET", self.path, query)
        return self._reader.rows(await self.transport.send(request, self.transport.ends()))

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
        return Request("GET", run_path(self.path, run_id), query="" if include_output else "include_output=false")
