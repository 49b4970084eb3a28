"""The calls on the runs of one kind, each of them a request, one send and the reading of the answer."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson

from retab_async.api.kind import KindSpec
from retab_async.api.parser import RunParser, hint
from retab_async.documents import build_create_body, transfer_seconds
from retab_async.errors import NotFoundError, RequestError, ResponseError
from retab_async.listing import Page
from retab_async.models import Run
from retab_async.polling import RawPage
from retab_async.protocol import CANCEL, MAX_CANCEL_BYTES, BytesBody, DeliveryState, Request, Response, run_path
from retab_async.retry import RetryPolicy
from retab_async.transport import Transport

RunT = TypeVar("RunT", bound=Run)

# Seconds for which the answer to a create may be waited for that is given when all is done.
IN_FOREGROUND = 1800.0
_LISTING = RetryPolicy(attempts=1, deadline=5.0)

_logger = logging.getLogger("retab_async")


class RunApi(Generic[RunT]):
    """The runs of one kind, by their `path` and `name`. Raises `ResponseError`, and what the transport raises."""

    def __init__(self, transport: Transport, path: str, parser: RunParser[RunT], spec: KindSpec) -> None:
        self.transport = transport
        self.path = path
        # As it hangs on the client: /v1/schemas/generate are its schemas.
        self.name = path.removeprefix("/v1/").removesuffix("/generate").replace("/", ".")
        self.is_listed = spec.is_listed
        self.has_output = spec.has_output
        self._parser = parser
        self._spec = spec

    def with_transport(self, transport: Transport) -> "RunApi[RunT]":
        """Return the same collection, called over another transport."""
        return RunApi(transport, self.path, self._parser, self._spec)

    async def cancel(self, run_id: str) -> RunT:
        """Cancel a run; where the answer says no status, the run is read."""
        ends = self.transport.deadline()
        fields = self._spec.cancel_body
        body = None if fields is None else BytesBody(orjson.dumps(fields()))
        request = Request("POST", run_path(self.path, run_id, CANCEL), "", MAX_CANCEL_BYTES, body)
        try:
            response = await self.transport.send(request, ends)
            run = self._parser.parse_cancel(response, run_id)
        except ResponseError as error:
            _logger.warning("the cancel was accepted, its answer says no status: reading the run: %s", error)
            request = self._reading_of(run_id, include_output=False)
            return self._parser.parse_cancel(await self.transport.send(request, ends), run_id)
        except NotFoundError as error:
            if not self._spec.cancel_404_when_finished:
                raise
            return await self._confirm_finished(run_id, ends, error)
        refusal = None if run.status.is_terminal else self._parser.refusal(response)
        return run if refusal is None else await self._confirm_finished(run_id, ends, refusal)

    async def _confirm_finished(self, run_id: str, deadline: float, failure: RequestError) -> RunT:
        run = self._parser.parse_run(
            await self.transport.send(self._reading_of(run_id, include_output=True), deadline), run_id
        )
        if not run.status.is_terminal:
            raise failure
        return run

    @asynccontextmanager
    async def prepare_create(self, fields: Mapping[str, Any], key: str) -> AsyncIterator[Request]:
        """Give the request of a create, of use until this is left; what is large is uploaded before."""
        async with build_create_body(self.transport, fields) as body:
            # A kind that cannot be asked for in the foreground is always in the background.
            extra = transfer_seconds(body.length) + (0 if fields.get("background", True) else IN_FOREGROUND)
            yield Request("POST", self.path, body=body, idempotency_key=key, extra_seconds=extra)

    async def create(self, request: Request, trail: DeliveryState) -> RunT:
        """Create a run by a request that carries all of it; `trail` as in `Transport.send`."""
        response = await self.transport.send(request, delivery=trail)
        try:
            return self._parser.parse_create(response)
        except ResponseError:
            trail.in_doubt = True
            raise

    async def open_stream(self, fields: Mapping[str, Any], key: str) -> Response:
        """Create a run whose states come as the `lines` of the answer, which is to be closed; see `read_state`."""
        headers = (("Accept", "application/stream+json"),)
        async with self.prepare_create(fields, key) as create:
            request = create._replace(path=f"{self.path}/stream", headers=headers, is_streamed=True)
            return await self.transport.send(request)

    def read_state(self, response: Response, line: bytes, run_id: str) -> RunT:
        """Return the run that a line of a stream shows; `run_id` is for one that does not tell it."""
        return self._parser.parse_stream_state(response._replace(body=line), run_id)

    async def fetch(self, run_id: str, *, include_output: bool) -> tuple[RunT, float | None]:
        """Return a run as it is now, and after how many seconds the server would have it looked at again."""
        request = self._reading_of(run_id, include_output=include_output)
        response = await self.transport.send(request)
        return self._parser.parse_run(response, run_id), hint(response)

    async def page(self, query: str) -> Page[RunT]:
        """Return a page of the list."""
        request = Request("GET", self.path, query)
        return self._parser.parse_page(await self.transport.send(request))

    async def fetch_raw_page(self, after: str | None) -> RawPage:
        """Return the page of 100 runs, newest first, that comes after a cursor, as it came."""
        query = urlencode({"limit": 100} if after is None else {"limit": 100, "after": after})
        # Many wait for this one, and will have it tried again themselves.
        hasty = self.transport.with_timeout(timeout=_LISTING.deadline, policy=_LISTING)
        return self._parser.parse_raw_page(await hasty.send(Request("GET", self.path, query)))

    def read_row(self, row: dict[str, Any]) -> tuple[RunT, bool] | None:
        """Return the run that a row shows and whether it is all of it, or None for a row that does not fit."""
        return self._parser.parse_row(row)

    async def delete(self, run_id: str) -> None:
        """Delete a run; that it is not there is success where an earlier attempt may have deleted it."""
        request = Request("DELETE", run_path(self.path, run_id))
        try:
            await self.transport.send(request)
        except NotFoundError as error:
            if not error.in_doubt:
                raise

    def _reading_of(self, run_id: str, *, include_output: bool) -> Request:
        query = "" if include_output or not self.has_output else "include_output=false"
        return Request("GET", run_path(self.path, run_id), query)
