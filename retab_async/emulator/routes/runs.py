"""The runs of a kind: create, stream, read, list, cancel, delete."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from aiohttp import web

from retab_async.emulator.answers import HTTPError, Response, problem
from retab_async.emulator.kinds import Kind
from retab_async.emulator.listing import ListSpec, page, read_wanted
from retab_async.emulator.routing import Route
from retab_async.emulator.run_timeline import TERMINAL, RunTimeline
from retab_async.emulator.runs import Run
from retab_async.emulator.service import Service
from retab_async.emulator.validation import Field, any_text, read_asked, read_json

TRUTH = {"true": True, "1": True, "false": False, "0": False}
COMMAND = (Field("command_id", any_text),)


async def create(
    kind: Kind, service: Service, _: str, request: web.BaseRequest, *, always: dict[str, Any] | None = None
) -> Response:
    """Start a run, whose request `always` has some fields; one that is not for the background is completed at once."""
    body = await read_json(request)
    key = request.headers.get("Idempotency-Key")
    sent = (kind.collection, body, always)
    earlier = service.replays.recall(key, sent, service.calendar.now()) if key else None
    if earlier is not None:
        return earlier
    asked = read_asked(kind.fields, body) | (always or {})
    kind.validate(asked)
    answer = _streamed(kind, service, asked) if asked.get("stream") else _created(kind, service, asked)
    if key:
        service.replays.keep(key, sent, answer, service.calendar.now())
    return answer


def _created(kind: Kind, service: Service, asked: dict[str, Any]) -> Response:
    now = service.calendar.now()
    # Kinds without the choice are always for the background.
    times = (service.queued, service.running) if asked.get("background", True) else (0.0, 0.0)
    run = service.add(kind, asked, RunTimeline(created=now, queued=times[0], running=times[1]))
    return Response.json(kind.created, kind.view(run, service.calendar.now()))


def _streamed(kind: Kind, service: Service, asked: dict[str, Any]) -> Response:
    # It ends with its stream. Who goes away leaves it to end by itself, as any create does that is not waited for.
    run = service.add(kind, asked, RunTimeline(created=service.calendar.now(), running=service.running))

    def states() -> Iterator[dict[str, Any]]:
        for output in kind.stream_outputs(run) if kind.stream_outputs else ():
            view = kind.view(run, service.calendar.now())
            if view["status"] == "cancelled":
                break
            yield {**view, "status": "in_progress", "output": output, "consensus": None, "usage": None}
        run.life.finish(service.calendar.now())
        yield kind.view(run, service.calendar.now())

    return Response.stream(states)


async def read(kind: Kind, service: Service, run_id: str, request: web.BaseRequest) -> Response:
    """Show a run, or its status alone where that is to be had."""
    word = request.query.get("include_output", "true")
    if kind.brief and word not in TRUTH:
        raise HTTPError(422, [problem(("query", "include_output"), "Input should be a boolean", "bool_parsing")])
    run = _find(kind, service, run_id)
    show = kind.view if kind.brief is None or TRUTH[word] else kind.brief
    return Response.json(200, show(run, service.calendar.now()), _hint(service, [run]))


async def show_page(
    kind: Kind, service: Service, _: str, request: web.BaseRequest, *, listing: ListSpec[Run]
) -> Response:
    """Show a page of runs."""
    now = service.calendar.now()
    found = page(service.runs[kind], listing, read_wanted(listing, request), now)
    envelope = found.envelope(kind.view(run, now) for run in found.shown)
    return Response.json(200, envelope, _hint(service, found.shown))


async def delete(kind: Kind, service: Service, run_id: str, _: web.BaseRequest) -> Response:
    """Forget a run."""
    service.runs[kind].remove(_find(kind, service, run_id))
    return Response(204, headers={})


async def cancel(kind: Kind, service: Service, run_id: str, request: web.BaseRequest) -> Response:
    """Stop a run, and answer as its kind does; the same command gets the same answer again."""
    command = read_asked(COMMAND, await read_json(request))["command_id"] if kind.has_command_id else None
    now = service.calendar.now()
    run = _find(kind, service, run_id)
    earlier = service.replays.recall((run.id, command), "cancel", now) if command else None
    if earlier is not None:
        return earlier
    answer = Response.json(200, _cancelled(kind, run, now))
    if command:
        service.replays.keep((run.id, command), "cancel", answer, now)
    return answer


def _cancelled(kind: Kind, run: Run, now: float) -> dict[str, Any]:
    before = run.life.phase(now)
    if before in kind.cancel_404_phases:
        raise HTTPError(404, f"{kind.title} not found, or not in a state to be cancelled")
    run.life.cancel(now)
    return kind.cancelled(run, before, now) if kind.cancelled else kind.view(run, now)


def _find(kind: Kind, service: Service, run_id: str) -> Run:
    run = service.runs[kind].find(run_id)
    if run is None:
        raise HTTPError(404, f"{kind.title} not found")
    return run


def _hint(service: Service, runs: Iterable[Run]) -> dict[str, str]:
    now = service.calendar.now()
    if service.poll_after is None or all(run.life.phase(now) in TERMINAL for run in runs):
        return {}
    return {"Retry-After": str(service.poll_after)}


def routes(kind: Kind) -> Iterator[Route]:
    """Give the routes of a kind."""
    path = f"/v1/{kind.path}"
    yield Route("POST", path, partial(create, kind))
    yield Route("GET", f"{path}/{{id}}", partial(read, kind))
    yield Route("POST", f"{path}/{{id}}/cancel", partial(cancel, kind))
    if kind.listing:
        yield Route("GET", path, partial(show_page, kind, listing=kind.listing))
    if kind.deletable:
        yield Route("DELETE", f"{path}/{{id}}", partial(delete, kind))
    if kind.stream_outputs:
        yield Route("POST", f"{path}/stream", partial(create, kind, always={"stream": True}))
