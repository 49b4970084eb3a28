"""The emulator on its socket: starting and closing, and the way of a request through fault, key, rate and service."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web
from attrs import validators

from retab_async.emulator.answers import HTTPError, Response
from retab_async.emulator.auth import RateLimit, Window, check_key
from retab_async.emulator.clocks import Calendar
from retab_async.emulator.connection import Connection, RecordedRequest, pause, play
from retab_async.emulator.documents import ReceivedDocument
from retab_async.emulator.faults import Fault, FaultQueue
from retab_async.emulator.routes import ROUTES, TABLE
from retab_async.emulator.routing import RouteMatch
from retab_async.emulator.service import SeedOptions, Service

ANY_KEY = "emulator-key"
BACKLOG = 1024
# For requests still being read when the emulator closes; those that wait inside it are woken.
CLOSING_TIME = 0.1


@attrs.define(kw_only=True, eq=False, repr=False)
class Emulator:
    """Serve the API on loopback while entered, or from `start()` to `aclose()`.

    The results of runs are invented from their requests. A background run is queued for `queued` seconds of `clock`
    and in progress for `running` more; other runs are completed at once. Every answer waits `latency` seconds of real
    time, and `rate_limit` bounds how many there are. Any key will do unless `api_key` is set. Port 0 stands for a free
    one. With `poll_after` the answers to who reads or lists runs that are not over bear it as their Retry-After. Runs,
    files and scripted faults outlive `aclose()`, so a server that goes away and comes back is the same one.
    """

    _host: str = "127.0.0.1"
    _port: int = 0
    _api_key: str | None = attrs.field(default=None, validator=validators.optional(validators.min_len(1)))
    _queued: float = attrs.field(default=0.2, validator=validators.ge(0))
    _running: float = attrs.field(default=2.0, validator=validators.ge(0))
    _latency: float = attrs.field(default=0.0, validator=validators.ge(0))
    _rate_limit: RateLimit | None = None
    _clock: Callable[[], float] = time.monotonic
    _poll_after: float | None = attrs.field(default=None, validator=validators.optional(validators.ge(0)))
    # What was served, in the order in which it was answered, and how often each status was.
    requests: list[RecordedRequest] = attrs.field(init=False, factory=list)
    counts: Counter[int] = attrs.field(init=False, factory=Counter)
    _service: Service = attrs.field(init=False)
    _window: Window | None = attrs.field(init=False)
    _script: FaultQueue = attrs.field(init=False, factory=lambda: FaultQueue(ROUTES))
    _presented: int = attrs.field(init=False, default=0)
    _runner: web.ServerRunner | None = attrs.field(init=False, default=None)
    _closing: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self._service = Service(Calendar(self._clock), self._queued, self._running, self._poll_after)
        self._window = None if self._rate_limit is None else Window(self._rate_limit)

    @property
    def url(self) -> str:
        """The address to use as a base URL; RuntimeError while the emulator is not started."""
        addresses = self._runner.addresses if self._runner else []
        if not addresses:
            msg = "the emulator is not started, so it has no address"
            raise RuntimeError(msg)
        host, port = addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def api_key(self) -> str:
        """A key that is accepted."""
        return self._api_key or ANY_KEY

    async def start(self) -> None:
        """Listen; RuntimeError when it does already, OSError when the address cannot be had."""
        if self._runner is not None:
            msg = "the emulator is started already"
            raise RuntimeError(msg)
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=CLOSING_TIME)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.aclose)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG).start()
            undo.pop_all()

    async def aclose(self) -> None:
        """Stop listening and drop every connection, without waiting for requests that hang; it may be called twice."""
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

    def seed(  # noqa: PLR0913 - each is one thing that runs may be told to become
        self,
        collection: str,
        count: int = 1,
        *,
        queued: float | None = None,
        running: float | None = None,
        error: Mapping[str, Any] | None = None,
        awaiting_review: bool = False,
        cancelling: float = 0.0,
        status_words: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Put background runs in flight without a request, and give their ids, oldest first.

        A collection is named by its path below /v1, but for `schemas`. `queued` and `running` replace the emulator's
        own; with an `error` such as `{"code": "bad_document", "message": "..."}` the runs end `failed`, those of
        workflows `error` with its `message`, `stage`, `category` and `details`. Workflow runs can stop at
        `awaiting_review`, where only a cancel ends them. A cancel is answered at once and takes effect `cancelling`
        seconds later. `status_words` replaces words that are shown, as in `{"error": "failed"}`.
        """
        seeds = SeedOptions(
            queued=self._queued if queued is None else queued,
            running=self._running if running is None else running,
            error=error,
            awaiting_review=awaiting_review,
            cancelling=cancelling,
            status_words=status_words or {},
        )
        return seeds.create_runs(self._service, collection, count)

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next answers of `route` be these faults, one each; after them it answers as usual.

        A route reads like `POST /v1/splits/{id}/cancel`, where `{id}` stands for any id; `*` is every route, and comes
        after a route's own faults. Raises ValueError for a route that the API has not.
        """
        self._script.add(route, faults)

    def active_runs(self) -> list[str]:
        """Give the ids of the runs of all kinds that are not over yet, oldest first."""
        return self._service.active_runs()

    def document_of(self, run_id: str, which: str | int = 0) -> ReceivedDocument:
        """Tell what was received as the document of a run; ValueError for a run or a document that there is not.

        Of several, `which` is the place in a request's list, or the id of the block that it was given to.
        """
        run = self._service.find(run_id)
        attached = run.attached.get(which) if run else None
        if attached is None:
            msg = f"no such document: {which!r}" if run else f"no such run: {run_id!r}"
            raise ValueError(msg)
        return attached.received

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        place = TABLE.locate(request.method, request.rel_url.raw_path)
        fault = self._script.take(place.route.name)
        exchange = self._exchange(place, request)
        try:
            answer = await (exchange.proceed() if fault is None else fault.play(exchange))
        except ConnectionError:
            # The client went while it was still sending.
            exchange.note_unanswered()
            answer = None
        if answer is None:
            # The connection is gone; aiohttp wants a response to give up on.
            return web.Response()
        response = self._present(answer)
        if answer.lines and not await play(exchange, response, answer.lines()):
            return response
        self.requests.append(RecordedRequest.of(request, answer.status))
        self.counts[answer.status] += 1
        return response

    def _exchange(self, place: RouteMatch, request: web.BaseRequest) -> Connection:
        return Connection(
            request=request,
            proceed=lambda: self._answer(place, request),
            present=self._present,
            note_unanswered=lambda: self.requests.append(RecordedRequest.of(request, None)),
            closing=self._closing,
        )

    async def _answer(self, place: RouteMatch, request: web.BaseRequest) -> Response:
        if self._latency:
            await pause(self._latency, self._closing)
        try:
            if place.route.guarded:
                self._admit(request)
            return await place.route.verb(self._service, place.id, request)
        except HTTPError as refusal:
            return refusal.answer()

    def _admit(self, request: web.BaseRequest) -> None:
        check_key(request, self._api_key)
        if self._window is not None:
            self._window.admit(self._clock())

    def _present(self, answer: Response) -> web.StreamResponse:
        self._presented += 1
        response = web.StreamResponse(status=answer.status) if answer.lines else _complete(answer)
        response.headers.update(answer.headers)
        response.headers["x-request-id"] = f"req_{self._presented:016x}"
        return response


def _complete(answer: Response) -> web.Response:
    return web.Response(status=answer.status, body=answer.body or None)
