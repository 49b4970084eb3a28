"""The runs of a kind: create, read, list, cancel, delete."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from aiohttp import web

from retab_async.emulator.answers import Answer, RefusedError, problem
from retab_async.emulator.bodies import read_asked, read_json
from retab_async.emulator.kinds import Kind
from retab_async.emulator.life import OVER
from retab_async.emulator.listing import page, read_wanted
from retab_async.emulator.routing import Route
from retab_async.emulator.runs import Run
from retab_async.emulator.service import Service

TRUTH = {"true": True, "1": True, "false": False, "0": False}


async def create(kind: Kind, service: Service, _: str, request: web.BaseRequest) -> Answer:
    """Start a run; one that is not for the background is completed at once."""
    body = await read_json(request)
    key = request.headers.get("Idempotency-Key")
    sent = (kind.collection, body)
    earlier = service.replays.recall(key, sent, service.calendar.now()) if key else None
    if earlier is not None:
        return earlier
    asked = read_asked(kind.all_fields, body)
    times = (service.queued, service.running) if asked["background"] else (0.0, 0.0)
    run = service.add(kind, asked, *times)
    now = service.calendar.now()
    answer = Answer.json(201, run.full(now))
    if key:
        service.replays.keep(key, sent, answer, now)
    return answer


async def read(kind: Kind, service: Service, run_id: str, request: web.BaseRequest) -> Answer:
    """Show a run, or its status alone."""
    word = request.query.get("include_output", "true")
    if word not in TRUTH:
        raise RefusedError(422, [problem(("query", "include_output"), "Input should be a boolean", "bool_parsing")])
    run = _find(kind, service, run_id)
    now = service.calendar.now()
    view = run.full(now) if TRUTH[word] else run.brief(now)
    return Answer.json(200, view, _hint(service, [view]))


async def show_page(kind: Kind, service: Service, _: str, request: web.BaseRequest) -> Answer:
    """Show a page of runs."""
    envelope = page(service.runs[kind], read_wanted(request.query), service.calendar.now())
    return Answer.json(200, envelope, _hint(service, envelope["data"]))


async def delete(kind: Kind, service: Service, run_id: str, _: web.BaseRequest) -> Answer:
    """Forget a run."""
    service.runs[kind].remove(_find(kind, service, run_id))
    return Answer(204, headers={})


async def cancel(kind: Kind, service: Service, run_id: str, _: web.BaseRequest) -> Answer:
    """Stop a run, and show it; one that is over is shown as it is."""
    run = _find(kind, service, run_id)
    now = service.calendar.now()
    run.life.cancel(now)
    return Answer.json(200, run.full(now))


def _find(kind: Kind, service: Service, run_id: str) -> Run:
    run = service.runs[kind].find(run_id)
    if run is None:
        raise RefusedError(404, f"{kind.title} not found")
    return run


def _hint(service: Service, views: Iterable[dict[str, Any]]) -> dict[str, str]:
    if service.poll_after is None or all(view["status"] in OVER for view in views):
        return {}
    return {"Retry-After": str(service.poll_after)}


VERBS: dict[str, dict[str, Callable[[Kind, Service, str, web.BaseRequest], Awaitable[Answer]]]] = {
    "": {"GET": show_page, "POST": create},
    "/{id}": {"GET": read, "DELETE": delete},
    "/{id}/cancel": {"POST": cancel},
}


def routes(kind: Kind) -> Iterator[Route]:
    """Give the routes of a kind."""
    for tail, verbs in VERBS.items():
        for method, verb in verbs.items():
            yield Route(method, f"/v1/{kind.collection}{tail}", partial(verb, kind))
