"""The requests of one kind of run: each call is a request, a send, and the parsing of the response."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

import attrs
import orjson

from retab_async import documents
from retab_async.api.kind import KindSpec, kind_of_path
from retab_async.api.parser import RunParser, poll_hint
from retab_async.errors import NotFoundError, RequestError, ResponseError
from retab_async.listing import Page
from retab_async.models import Run
from retab_async.polling import RawPage
from retab_async.protocol import (
    MAX_PAGE_BYTES,
    MAX_STATUS_BYTES,
    BytesBody,
    DeliveryState,
    Request,
    Response,
    cancel_request,
    run_path,
)
from retab_async.retry import RetryPolicy
from retab_async.thread_pool import DaemonThreadPool

if TYPE_CHECKING:
    from retab_async.transport import Transport

RunT = TypeVar("RunT", bound=Run)
ParsedT = TypeVar("ParsedT")

# A create in the foreground is answered when the run is finished: seconds on top of the timeout and the deadline.
FOREGROUND_SECONDS = 1800.0
# Larger responses are parsed in a thread, so that the event loop goes on.
_INLINE_BYTES = 64 * 1024
_PARSE_POOL = DaemonThreadPool(2)
# One page of a list polls many runs, and their pollers retry it themselves.
_POLL_POLICY = RetryPolicy(attempts=1, deadline=5.0)
# Seconds after its create for which a run may be answered with a 404.
_VISIBILITY_SECONDS = 60.0

_logger = logging.getLogger("retab_async")


class RecentRuns:
    """Registry of the runs that a client and its copies created within the last minute.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadlines: dict[str, float] = {}

    def add(self, run_id: str) -> None:
        """Record a run that was created now."""
        now = self._clock()
        # In the order of their creates, so that the oldest come first.
        while self._deadlines and self._deadlines[first := next(iter(self._deadlines))] <= now:
            del self._deadlines[first]
        self._deadlines.pop(run_id, None)
        self._deadlines[run_id] = now + _VISIBILITY_SECONDS

    def discard(self, run_id: str) -> None:
        """Forget a run, because it was deleted."""
        self._deadlines.pop(run_id, None)

    def not_found_until(self, run_id: str) -> float:
        """Return until when, in `time.monotonic()`, the run may be answered with a 404; `-inf` for others."""
        return self._deadlines.get(run_id, -inf)


class RunApi(Generic[RunT]):
    """The requests of one kind of run.

    Every method raises what `Transport.send` raises, and `ResponseError` for a 2xx response that cannot be read.

    Args:
        transport: Sends the requests.
        path: The route of the kind, such as `/v1/splits`.
        parser: Parses the responses.
        spec: The wire format of the kind.
        recent_runs: Records the runs that are created.
    """

    def __init__(
        self, transport: "Transport", path: str, parser: RunParser[RunT], spec: KindSpec, recent_runs: RecentRuns
    ) -> None:
        self.transport = transport
        self.path = path
        self.recent_runs = recent_runs
        self.kind: str = kind_of_path(path)
        self.is_listed: bool = spec.is_listed
        self.has_output: bool = spec.has_output
        self._parser = parser
        self._spec = spec

    def with_transport(self, transport: "Transport") -> "RunApi[RunT]":
        """Return a copy that sends over another transport."""
        return RunApi(transport, self.path, self._parser, self._spec, self.recent_runs)

    async def cancel(self, run_id: str) -> RunT:
        """Cancel a run; a response without a readable status is followed by a read of the run."""
        deadline = self.transport.deadline()
        fields = self._spec.cancel_body
        body = None if fields is None else BytesBody(orjson.dumps(fields()))
        request = cancel_request(self.path, run_id, body)
        try:
            response = await self._send(request, deadline)
            if len(response.body) <= _INLINE_BYTES:
                run, failure = self._parser.parse_cancel(response, run_id)
            else:
                run, failure = await _parse(self._parser.parse_cancel, response, run_id)
        except ResponseError as error:
            _logger.warning("%s: cancel accepted, but its response is unreadable; reading the run: %s", run_id, error)
            response = await self._send(self._read_request(run_id, include_output=False), deadline)
            run, _ = await _parse(self._parser.parse_cancel, response, run_id)
            return run
        except NotFoundError as error:
            if not self._spec.cancel_404_when_finished:
                raise
            return await self._confirm_finished(run_id, deadline, error)
        if failure is None or run.status.is_terminal:
            return run
        return await self._confirm_finished(run_id, deadline, failure)

    async def _confirm_finished(self, run_id: str, deadline: float, failure: RequestError) -> RunT:
        response = await self._send(self._read_request(run_id, include_output=True), deadline)
        run = await _parse(self._parser.parse_run, response, run_id)
        if not run.status.is_terminal:
            raise failure
        return run

    async def create(
        self, fields: Mapping[str, Any], key: str, on_upload: "documents.UploadCallback | None" = None
    ) -> RunT:
        """Create a run from the fields of the request, documents among them, under an idempotency key."""
        async with self.prepare_create(fields, key, on_upload) as request:
            return await self.send_create(request, DeliveryState())

    @asynccontextmanager
    async def prepare_create(
        self, fields: Mapping[str, Any], key: str, on_upload: "documents.UploadCallback | None" = None
    ) -> AsyncIterator[Request]:
        """Open the documents of a create, uploading large ones; the request can be sent until this is left."""
        async with documents.build_create_body(self.transport, fields, on_upload) as body:
            # Kinds without the field always run in the background.
            extra = documents.transfer_seconds(body.length) + (
                0 if fields.get("background", True) else FOREGROUND_SECONDS
            )
            yield Request("POST", self.path, body=body, idempotency_key=key, extra_seconds=extra)

    async def send_create(self, request: Request, delivery: DeliveryState) -> RunT:
        """Send a prepared create; `delivery` tracks whether it may have taken effect, even if this is cancelled."""
        response = await self._send(request, delivery=delivery)
        try:
            run = await _parse(self._parser.parse_create, response)
        except ResponseError:
            delivery.in_doubt = True
            raise
        self.recent_runs.add(run.id)
        return run

    async def open_stream(
        self, fields: Mapping[str, Any], key: str, on_upload: "documents.UploadCallback | None" = None
    ) -> Response:
        """Create a run whose states are the `lines` of the response, which the caller must close."""
        headers = (("Accept", "application/stream+json"),)
        async with self.prepare_create(fields, key, on_upload) as create:
            request = attrs.evolve(create, path=f"{self.path}/stream", headers=headers, is_streamed=True)
            return await self._send(request)

    async def parse_state(self, response: Response, line: bytes, run_id: str) -> RunT:
        """Return the state of a run from one line of a stream; `run_id` is for a line without an id."""
        return await _parse(self._parser.parse_stream_state, attrs.evolve(response, body=line), run_id)

    async def get(self, run_id: str, *, include_output: bool) -> RunT:
        """Return a run."""
        request = self._read_request(run_id, include_output=include_output)
        run, _ = await self._read(request, self._parser.parse_run, run_id)
        return run

    async def fetch(self, run_id: str, *, include_output: bool) -> tuple[RunT, float | None]:
        """Return a run and the server's hint of the seconds until the next poll; only the last poll logs defaults."""
        request = self._read_request(run_id, include_output=include_output)
        (run, mismatches), hint = await self._read(request, self._parser.parse_poll, run_id)
        if mismatches and include_output and run.status.is_terminal:
            self._parser.log_defaults(run, mismatches)
        return run, hint

    async def _read(
        self, request: Request, parse: Callable[[Response, str], ParsedT], run_id: str
    ) -> tuple[ParsedT, float | None]:
        response = await self._send(request)
        try:
            parsed = await _parse(parse, response, run_id)
        except ResponseError as error:
            if error.path != "id":
                raise
            _logger.warning("%s: response about another run, reading it again: %s", run_id, error)
            response = await self._send(request)
            parsed = await _parse(parse, response, run_id)
        return parsed, poll_hint(response)

    async def fetch_page(self, query: str) -> Page[RunT]:
        """Return a page of the list."""
        request = Request("GET", self.path, query, MAX_PAGE_BYTES)
        return await _parse(self._parser.parse_page, await self._send(request))

    async def fetch_raw_page(self, after: str | None) -> RawPage:
        """Return a page of 100 runs, newest first, with its rows as JSON."""
        query = urlencode({"limit": 100} if after is None else {"limit": 100, "after": after})
        transport = self.transport.with_timeout(timeout=_POLL_POLICY.deadline, policy=_POLL_POLICY)
        self._parser.prepare()
        response = await transport.send(Request("GET", self.path, query, MAX_PAGE_BYTES))
        return await _parse(self._parser.parse_raw_page, response)

    def read_row(self, row: dict[str, Any]) -> tuple[RunT, bool] | None:
        """Return the run in a row of a raw page and whether the row is complete, or None if it does not fit."""
        return self._parser.parse_row(row)

    async def delete(self, run_id: str) -> None:
        """Delete a run; a 404 is success if an earlier attempt may have deleted it."""
        request = Request("DELETE", run_path(self.path, run_id))
        try:
            await self.transport.send(request)
        except NotFoundError as error:
            if not error.in_doubt:
                raise
        self.recent_runs.discard(run_id)

    def _read_request(self, run_id: str, *, include_output: bool) -> Request:
        path = run_path(self.path, run_id)
        if include_output or not self.has_output:
            return Request("GET", path)
        return Request("GET", path, "include_output=false", MAX_STATUS_BYTES)

    def _send(
        self, request: Request, deadline: float | None = None, delivery: DeliveryState | None = None
    ) -> Coroutine[Any, Any, Response]:
        # A request is sent only if its response can be parsed.
        self._parser.prepare()
        return self.transport.send(request, deadline, delivery)


async def _parse(parse: Callable[..., ParsedT], response: Response, *args: str) -> ParsedT:
    if len(response.body) <= _INLINE_BYTES:
        return parse(response, *args)
    return await _PARSE_POOL.call(parse, response, *args)
