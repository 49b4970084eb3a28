"""The API itself: which route a request means, and what each verb does to the runs."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import attrs
from aiohttp import web

from retab_async.emulator.answers import Answer, RefusedError, problem
from retab_async.emulator.checks import Problems, object_of
from retab_async.emulator.kinds import KINDS, Kind
from retab_async.emulator.life import Life
from retab_async.emulator.listing import page, read_wanted
from retab_async.emulator.replays import Replays
from retab_async.emulator.runs import Run

MAX_BODY = 32 * 1024 * 1024
TRUTH = {"true": True, "1": True, "false": False, "0": False}


@attrs.frozen
class Place:
    """Where a path leads: a kind, what follows its collection, and the id in that; no kind when it leads nowhere."""

    kind: Kind | None = None
    shape: str = ""
    run_id: str = ""

    def route(self, method: str) -> str:
        """Name the route as `Emulator.fail` has it."""
        return f"{method} /v1/{self.kind.collection}{self.shape}" if self.kind else ""


def locate(raw_path: str) -> Place:
    """Find where a path, as it was sent, leads."""
    match raw_path.split("/"):
        case ["", "v1", collection]:
            return Place(KINDS.get(collection))
        case ["", "v1", collection, run_id] if run_id:
            return Place(KINDS.get(collection), "/{id}", unquote(run_id))
        case ["", "v1", collection, run_id, "cancel"] if run_id:
            return Place(KINDS.get(collection), "/{id}/cancel", unquote(run_id))
    return Place()


def read_asked(kind: Kind, body: Any) -> dict[str, Any]:
    """Read the body of a create request, or refuse it with everything that is wrong with it."""
    problems: Problems = []
    asked: dict[str, Any] = object_of(*kind.all_fields)(body, ("body",), problems)
    if problems:
        raise RefusedError(422, problems)
    return asked


@attrs.define(eq=False)
class Service:
    """Every run there is, and the verbs of the API on them; background runs take `queued` and `running` seconds."""

    clock: Callable[[], float]
    queued: float
    running: float
    _runs: dict[Kind, dict[str, Run]] = attrs.field(init=False, factory=lambda: {kind: {} for kind in KINDS.values()})
    _replays: Replays = attrs.field(init=False, factory=Replays)
    # What the wall said when the clock said this: so `created_at` follows a clock turned by hand.
    _epoch: tuple[datetime, float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._epoch = (datetime.now(UTC), self.clock())

    async def answer(self, place: Place, request: web.BaseRequest) -> Answer:
        """Carry out a request; raises RefusedError where it cannot."""
        if place.kind is None:
            raise RefusedError(404, "Not Found")
        verbs = VERBS[place.shape]
        if request.method not in verbs:
            raise RefusedError(405, "Method Not Allowed", {"Allow": ", ".join(sorted(verbs))})
        return await verbs[request.method](self, place.kind, place.run_id, request)

    def add(
        self, kind: Kind, asked: dict[str, Any], queued: float, running: float, error: dict[str, Any] | None = None
    ) -> Run:
        """Start a run on a request that has been read."""
        now = self.clock()
        wall, then = self._epoch
        run = Run.of(
            kind,
            asked,
            life=Life(created=now, queued=queued, running=running, fails=error is not None),
            created_at=wall + timedelta(seconds=now - then),
            error=error,
        )
        self._runs[kind][run.id] = run
        return run

    async def create(self, kind: Kind, _: str, request: web.BaseRequest) -> Answer:
        """Start a run; one that is not for the background is completed at once."""
        body = await _read_json(request)
        key = request.headers.get("Idempotency-Key")
        sent = (kind.collection, body)
        earlier = self._replays.recall(key, sent, self.clock()) if key else None
        if earlier is not None:
            return earlier
        asked = read_asked(kind, body)
        times = (self.queued, self.running) if asked["background"] else (0.0, 0.0)
        run = self.add(kind, asked, *times)
        answer = Answer.json(201, run.full(self.clock()))
        if key:
            self._replays.keep(key, sent, answer, self.clock())
        return answer

    async def read(self, kind: Kind, run_id: str, request: web.BaseRequest) -> Answer:
        """Show a run, or its status alone."""
        word = request.query.get("include_output", "true")
        if word not in TRUTH:
            raise RefusedError(422, [problem(("query", "include_output"), "Input should be a boolean", "bool_parsing")])
        run = self._find(kind, run_id)
        now = self.clock()
        return Answer.json(200, run.full(now) if TRUTH[word] else run.brief(now))

    async def list(self, kind: Kind, _: str, request: web.BaseRequest) -> Answer:
        """Show a page of runs."""
        return Answer.json(200, page(self._runs[kind], read_wanted(request.query), self.clock()))

    async def delete(self, kind: Kind, run_id: str, _: web.BaseRequest) -> Answer:
        """Forget a run."""
        del self._runs[kind][self._find(kind, run_id).id]
        return Answer(204, headers={})

    async def cancel(self, kind: Kind, run_id: str, _: web.BaseRequest) -> Answer:
        """Stop a run, and show it; one that is over is shown as it is."""
        run = self._find(kind, run_id)
        now = self.clock()
        run.life.cancel(now)
        return Answer.json(200, run.full(now))

    def _find(self, kind: Kind, run_id: str) -> Run:
        run = self._runs[kind].get(run_id)
        if run is None:
            raise RefusedError(404, f"{kind.title} not found")
        return run


async def _read_json(request: web.BaseRequest) -> Any:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise RefusedError(413, "Request body is larger than 32 MiB.")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise RefusedError(422, [problem(("body",), "JSON decode error", "json_invalid")]) from None


Verb = Callable[[Service, Kind, str, web.BaseRequest], Awaitable[Answer]]
VERBS: dict[str, dict[str, Verb]] = {
    "": {"GET": Service.list, "POST": Service.create},
    "/{id}": {"GET": Service.read, "DELETE": Service.delete},
    "/{id}/cancel": {"POST": Service.cancel},
}
ROUTES = tuple(
    Place(kind, shape).route(method) for kind in KINDS.values() for shape, verbs in VERBS.items() for method in verbs
)
