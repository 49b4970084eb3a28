"""Routes of a kind of run: create, stream, get, list, cancel, delete."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import attrs
from aiohttp import web

from retab_async.emulator.kinds import RunKind
from retab_async.emulator.listing import ListSpec, parse_query, select_page
from retab_async.emulator.responses import HTTPError, Response, problem
from retab_async.emulator.routing import Route
from retab_async.emulator.run_timeline import TERMINAL, RunTimeline
from retab_async.emulator.runs import Run
from retab_async.emulator.service import Service
from retab_async.emulator.validation import Field, any_str, parse_body, read_json

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
CANCEL_FIELDS = (Field("command_id", any_str),)


async def create(
    kind: RunKind, service: Service, _: str, request: web.BaseRequest, *, fixed_fields: dict[str, Any] | None = None
) -> Response:
    """Create a run, with some `fixed_fields` in its request; a foreground run is completed at once."""
    body = await read_json(request)
    key = request.headers.get("Idempotency-Key")
    sent = (kind.name, body, fixed_fields)
    earlier = service.idempotency.get(key, sent, service.calendar.now()) if key else None
    if earlier is not None:
        return earlier
    fields = parse_body(kind.fields, body) | (fixed_fields or {})
    kind.validate(fields)
    answer = _create_streamed(kind, service, fields) if fields.get("stream") else _create(kind, service, fields)
    if key:
        service.idempotency.put(key, sent, answer, service.calendar.now())
    return answer


def _create(kind: RunKind, service: Service, fields: dict[str, Any]) -> Response:
    now = service.calendar.now()
    # Kinds without this field always run in the background.
    times = (service.queued, service.running) if fields.get("background", True) else (0.0, 0.0)
    timeline = RunTimeline(created_at=now, queued=times[0], running=times[1], visible_at=now + service.visibility_delay)
    run = service.create_run(kind, fields, timeline)
    return Response.json(kind.created_status, kind.view(run, service.calendar.now()))


def _create_streamed(kind: RunKind, service: Service, fields: dict[str, Any]) -> Response:
    # The run ends with its stream, or by itself if the client disconnects.
    run = service.create_run(kind, fields, RunTimeline(created_at=service.calendar.now(), running=service.running))

    def states() -> Iterator[dict[str, Any]]:
        for output in kind.stream_outputs(run) if kind.stream_outputs else ():
            view = kind.view(run, service.calendar.now())
            if view["status"] == "cancelled":
                break
            yield {**view, "status": "in_progress", "output": output, "consensus": None, "usage": None}
        run.timeline.finish(service.calendar.now())
        yield kind.view(run, service.calendar.now())

    return Response.stream(states)


async def get(kind: RunKind, service: Service, run_id: str, request: web.BaseRequest) -> Response:
    """Return a run, or only its status where the kind supports that."""
    include_output = request.query.get("include_output", "true")
    if kind.status_view and include_output not in BOOLEANS:
        raise HTTPError(422, [problem(("query", "include_output"), "Input should be a boolean", "bool_parsing")])
    run = _find(kind, service, run_id)
    show = kind.view if kind.status_view is None or BOOLEANS[include_output] else kind.status_view
    return Response.json(200, show(run, service.calendar.now()), _poll_hint(service, [run]))


async def list_runs(
    kind: RunKind, service: Service, _: str, request: web.BaseRequest, *, spec: ListSpec[Run]
) -> Response:
    """List runs."""
    now = service.calendar.now()
    found = select_page(service.runs[kind], spec, parse_query(spec, request), now)
    envelope = found.envelope(kind.view(run, now) for run in found.items)
    return Response.json(200, envelope, _poll_hint(service, found.items))


async def delete(kind: RunKind, service: Service, run_id: str, _: web.BaseRequest) -> Response:
    """Delete a run."""
    service.runs[kind].remove(_find(kind, service, run_id))
    return Response(204, headers={})


async def cancel(kind: RunKind, service: Service, run_id: str, request: web.BaseRequest) -> Response:
    """Cancel a run; a repeated `command_id` gets the same response again."""
    command = parse_body(CANCEL_FIELDS, await read_json(request))["command_id"] if kind.has_command_id else None
    now = service.calendar.now()
    run = _find(kind, service, run_id)
    earlier = service.idempotency.get((run.id, command), "cancel", now) if command else None
    if earlier is not None:
        return earlier
    answer = Response.json(200, _cancel(kind, run, now))
    if command:
        service.idempotency.put((run.id, command), "cancel", answer, now)
    return answer


def _cancel(kind: RunKind, run: Run, now: float) -> dict[str, Any]:
    before = run.timeline.phase(now)
    if before in kind.cancel_404_phases:
        raise HTTPError(404, f"{kind.title} not found, or not in a state to be cancelled")
    run.timeline.cancel(now)
    return kind.cancel_view(run, before, now) if kind.cancel_view else kind.view(run, now)


def _find(kind: RunKind, service: Service, run_id: str) -> Run:
    run = service.runs[kind].find(run_id)
    if run is None or not run.is_visible(service.calendar.now()):
        raise HTTPError(404, f"{kind.title} not found")
    return run


def _poll_hint(service: Service, runs: Iterable[Run]) -> dict[str, str]:
    now = service.calendar.now()
    if service.poll_after is None or all(run.timeline.phase(now) in TERMINAL for run in runs):
        return {}
    return {"Retry-After": str(service.poll_after)}


def routes(kind: RunKind) -> Iterator[Route]:
    """Return the routes of a kind."""
    path = f"/v1/{kind.path}"
    yield Route("POST", path, partial(create, kind))
    yield Route("GET", f"{path}/{{id}}", partial(get, kind))
    yield Route("POST", f"{path}/{{id}}/cancel", partial(cancel, kind))
    if kind.listing:
        spec = attrs.evolve(kind.listing, is_visible=Run.is_visible)
        yield Route("GET", path, partial(list_runs, kind, spec=spec))
    if kind.deletable:
        yield Route("DELETE", f"{path}/{{id}}", partial(delete, kind))
    if kind.stream_outputs:
        yield Route("POST", f"{path}/stream", partial(create, kind, fixed_fields={"stream": True}))
