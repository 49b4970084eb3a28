"""Emulator server: start and close, and a request's path through faults, key check, rate limit and routes."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web
from attrs import validators

from retab_async.emulator.auth import RateLimit, RateLimiter, check_key, to_rate_limit
from retab_async.emulator.clocks import Calendar
from retab_async.emulator.connection import (
    Connection,
    RecordedRequest,
    check_host,
    send_stream,
    sleep_unless_closing,
)
from retab_async.emulator.documents import ReceivedDocument
from retab_async.emulator.faults import Fault, FaultQueue
from retab_async.emulator.responses import HTTPError, Response
from retab_async.emulator.routes import ROUTER, ROUTES
from retab_async.emulator.routing import RouteMatch
from retab_async.emulator.service import SeedOptions, Service

DEFAULT_KEY = "emulator-key"
BACKLOG = 1024
# Seconds for requests still being read when the emulator closes; those that wait inside it are woken.
SHUTDOWN_TIMEOUT = 0.1


@attrs.define(kw_only=True, eq=False, repr=False)
class Emulator:
    """In-memory emulator of the API on loopback, serving while entered, or from `start()` to `aclose()`.

    The results of runs are generated from their requests. A background run is queued, then in progress, then completed;
    a foreground run is completed at once. Runs, files and scripted faults survive `aclose()`, so a server that is
    stopped and started again is the same one.

    Args:
        host: Address to listen on. On a loopback address requests need a Host header with an IP address or `localhost`,
            as protection against DNS rebinding.
        port: Port to listen on; 0 picks a free one.
        api_key: The only key to accept; by default any key is.
        queued: Seconds of `clock` for which background runs are queued.
        running: Seconds of `clock` for which they are then in progress.
        latency: Seconds of real time before every response.
        rate_limit: Requests beyond it are answered 429. The client's own `RateLimit` is accepted as well.
        clock: Time in seconds, by default real time; a `ManualClock` moves only when a test advances it.
        visibility_delay: Seconds of `clock` for which a created run is 404 and not listed, as with lagging replicas;
            seeded runs are visible at once.
        poll_after: Seconds for the `Retry-After` header of reads and lists with active runs; None for no header.

    Attributes:
        requests: The requests that were served, in the order in which they were answered.
        counts: The number of responses by status.

    Example:
        A pytest test of code that starts runs::

            async def test_a_shutdown_leaves_no_run_active():
                clock = ManualClock()
                async with Emulator(clock=clock, queued=5, running=60) as emulator:
                    async with AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
                        (run_id,) = emulator.seed("splits")
                        emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0))

                        await client.splits.cancel(run_id)

                    assert emulator.active_runs() == []
                    assert [request.status for request in emulator.requests] == [503, 200]
                    assert emulator.counts[503] == 1
    """

    _host: str = attrs.field(default="127.0.0.1", alias="host")
    _port: int = attrs.field(default=0, alias="port")
    _api_key: str | None = attrs.field(
        default=None, alias="api_key", validator=validators.optional(validators.min_len(1))
    )
    _queued: float = attrs.field(default=0.2, alias="queued", validator=validators.ge(0))
    _running: float = attrs.field(default=2.0, alias="running", validator=validators.ge(0))
    _latency: float = attrs.field(default=0.0, alias="latency", validator=validators.ge(0))
    _rate_limit: RateLimit | None = attrs.field(default=None, alias="rate_limit", converter=to_rate_limit)
    _clock: Callable[[], float] = attrs.field(default=time.monotonic, alias="clock")
    _poll_after: float | None = attrs.field(
        default=None, alias="poll_after", validator=validators.optional(validators.ge(0))
    )
    _visibility_delay: float = attrs.field(default=0.0, alias="visibility_delay", validator=validators.ge(0))
    requests: list[RecordedRequest] = attrs.field(init=False, factory=list)
    counts: Counter[int] = attrs.field(init=False, factory=Counter)
    _service: Service = attrs.field(init=False)
    _rate_limiter: RateLimiter | None = attrs.field(init=False)
    _is_loopback: bool = attrs.field(init=False)
    _faults: FaultQueue = attrs.field(init=False, factory=lambda: FaultQueue(ROUTES))
    _response_count: int = attrs.field(init=False, default=0)
    _runner: web.ServerRunner | None = attrs.field(init=False, default=None)
    _closing: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self._service = Service(
            calendar=Calendar(self._clock),
            queued=self._queued,
            running=self._running,
            poll_after=self._poll_after,
            visibility_delay=self._visibility_delay,
        )
        self._is_loopback = self._host == "localhost" or ip_address(self._host).is_loopback
        self._rate_limiter = None if self._rate_limit is None else RateLimiter(self._rate_limit)

    @property
    def url(self) -> str:
        """The base URL of the emulator.

        Raises:
            RuntimeError: The emulator is not started.
        """
        addresses = self._runner.addresses if self._runner else []
        if not addresses:
            msg = "the emulator is not started, so it has no address"
            raise RuntimeError(msg)
        host, port = addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def api_key(self) -> str:
        """A key that is accepted."""
        return self._api_key or DEFAULT_KEY

    async def start(self) -> None:
        """Start listening.

        Raises:
            RuntimeError: The emulator is started already.
            OSError: The address is not available.
        """
        if self._runner is not None:
            msg = "the emulator is started already"
            raise RuntimeError(msg)
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=SHUTDOWN_TIMEOUT)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.aclose)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG).start()
            undo.pop_all()

    async def aclose(self) -> None:
        """Stop listening and drop every connection, without waiting for hanging requests; may be called twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._closing.set()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def seed(  # noqa: PLR0913 - each is one property of the runs
        self,
        kind: str,
        count: int = 1,
        *,
        queued: float | None = None,
        running: float | None = None,
        status: str | None = None,
        error: Mapping[str, Any] | None = None,
        awaiting_review: bool = False,
        cancel_delay: float = 0.0,
        status_names: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Create background runs without a request.

        Args:
            kind: The kind of the runs, such as `splits` or `workflows.runs`; `/` and `.` are the same.
            count: How many to create.
            queued: Seconds for which the runs are queued, instead of the emulator's own.
            running: Seconds for which they are then in progress, instead of the emulator's own.
            status: The status that the runs have and keep, as the kind names it, such as `failed`; a cancel still ends
                an active one. By default runs are queued, then in progress, then completed.
            error: The runs fail with it, as in `{"code": "bad_document", "message": "..."}`. Workflow runs show its
                `message`, `stage`, `category` and `details`.
            awaiting_review: Whether the work ends in waiting for a review, which only a cancel ends; workflow runs
                only.
            cancel_delay: Seconds after which a cancel takes effect; it is answered at once.
            status_names: Statuses to show by another name, as in `{"error": "failed"}`.

        Returns:
            The ids of the runs, oldest first.

        Raises:
            ValueError: There is no such kind, runs of the kind cannot be as the arguments say, or the arguments
                contradict one another.
        """
        if status is not None and (queued is not None or running is not None or awaiting_review):
            msg = "a status is permanent: pass either status, or queued, running and awaiting_review"
            raise ValueError(msg)
        seeds = SeedOptions(
            queued=self._queued if queued is None else queued,
            running=self._running if running is None else running,
            status=status,
            error=error,
            awaiting_review=awaiting_review,
            cancel_delay=cancel_delay,
            status_names=status_names or {},
        )
        return seeds.create_runs(self._service, kind, count)

    def fail(self, route: str, *faults: Fault) -> None:
        """Replace the next responses of a route by faults, one each; after them it answers as usual.

        Args:
            route: Method and path, as in `POST /v1/splits/{id}/cancel`, where `{id}` stands for any id; `*` stands for
                every route, and applies after a route's own faults.
            faults: The faults, in order.

        Raises:
            ValueError: There is no such route.
            TypeError: There is no fault, or one that is not a `Fault`.
        """
        self._faults.add(route, faults)

    def active_runs(self) -> list[str]:
        """Return the ids of the runs of all kinds that are not terminal, oldest first."""
        return self._service.active_runs()

    def document_of(self, run_id: str, which: str | int = 0) -> ReceivedDocument:
        """Return what was received as a document of a run.

        Args:
            run_id: The run.
            which: The index in the request's list of documents, or the id of the block that the document is for.

        Raises:
            ValueError: There is no such run, or no such document.
        """
        run = self._service.find_run(run_id)
        document = run.documents.get(which) if run else None
        if document is None:
            msg = f"no such document: {which!r}" if run else f"no such run: {run_id!r}"
            raise ValueError(msg)
        return document.to_received()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        match = ROUTER.match(request.method, request.rel_url.raw_path)
        fault = self._faults.take(match.route.name)
        connection = self._connection(match, request)
        try:
            answer = await (connection.handle() if fault is None else fault.play(connection))
        except ConnectionError:
            # The client disconnected while it was still sending.
            connection.record_unanswered()
            answer = None
        if answer is None:
            # The connection is closed; aiohttp requires a response to discard.
            return web.Response()
        response = self._to_web_response(answer)
        if answer.lines and not await send_stream(connection, response, answer.lines(), answer.chunk_interval):
            return response
        self.requests.append(RecordedRequest.of(request, answer.status))
        self.counts[answer.status] += 1
        return response

    def _connection(self, match: RouteMatch, request: web.BaseRequest) -> Connection:
        return Connection(
            request=request,
            handle=lambda: self._handle(match, request),
            to_web_response=self._to_web_response,
            record_unanswered=lambda: self.requests.append(RecordedRequest.of(request, None)),
            closing=self._closing,
        )

    async def _handle(self, match: RouteMatch, request: web.BaseRequest) -> Response:
        if self._latency:
            await sleep_unless_closing(self._latency, self._closing)
        try:
            if self._is_loopback:
                check_host(request)
            if match.route.authenticated:
                self._authorize(request)
            return await match.route.handler(self._service, match.id, request)
        except HTTPError as error:
            return error.to_response()

    def _authorize(self, request: web.BaseRequest) -> None:
        check_key(request, self._api_key)
        if self._rate_limiter is not None:
            self._rate_limiter.check(self._clock())

    def _to_web_response(self, answer: Response) -> web.StreamResponse:
        self._response_count += 1
        response = web.StreamResponse(status=answer.status) if answer.lines else _complete(answer)
        response.headers.update(answer.headers)
        response.headers["x-request-id"] = f"req_{self._response_count:016x}"
        return response


def _complete(answer: Response) -> web.Response:
    return web.Response(status=answer.status, body=answer.body or None)
