"""From a request's method and path to the route that answers it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote

import attrs
from aiohttp import web

from retab_async.emulator.answers import HTTPError, Response
from retab_async.emulator.service import Service

# Carries a request out, with the id out of its path; raises RefusedError where it cannot.
Verb: TypeAlias = Callable[[Service, str, web.BaseRequest], Awaitable[Response]]
# A path at its slashes; None stands for any id.
Segments: TypeAlias = tuple[str | None, ...]
# At most once in a path.
ANY_ID = "{id}"


@attrs.frozen
class Route:
    """One method of one path, in which `{id}` is any id; a `guarded` one asks for a key and is counted by the rate."""

    method: str
    path: str
    verb: Verb
    guarded: bool = attrs.field(default=True, kw_only=True)

    @property
    def name(self) -> str:
        """Name the route as `Emulator.fail` has it."""
        return f"{self.method} {self.path}"


@attrs.frozen
class RouteMatch:
    """Where a request leads: a route, and the id in its path."""

    route: Route
    id: str = ""


class Router:
    """Routes by the form of their paths; one that is spelled out goes before one with an id."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._paths: dict[Segments, dict[str, Route]] = {}
        for route in routes:
            segments = tuple(None if part == ANY_ID else part for part in route.path.split("/"))
            self._paths.setdefault(segments, {})[route.method] = route
        self._ids_at = sorted({path.index(None) for path in self._paths if None in path})

    def locate(self, method: str, raw_path: str) -> RouteMatch:
        """Find where a request leads, its path as it was sent; a route that there is not refuses when it is asked."""
        for segments, raw_id in self._readings(tuple(raw_path.split("/"))):
            methods = self._paths.get(segments)
            if methods is not None:
                return RouteMatch(methods.get(method) or _not_allowed(methods), unquote(raw_id))
        return RouteMatch(NOWHERE)

    def _readings(self, sent: tuple[str, ...]) -> Iterator[tuple[Segments, str]]:
        yield sent, ""
        for at in self._ids_at:
            if at < len(sent) and sent[at]:
                yield (*sent[:at], None, *sent[at + 1 :]), sent[at]


def _refusing(status: int, detail: str, headers: Mapping[str, str]) -> Route:
    async def refuse(_: Service, __: str, ___: web.BaseRequest) -> Response:
        raise HTTPError(status, detail, headers)

    return Route("", "", refuse)


def _not_allowed(methods: Iterable[str]) -> Route:
    return _refusing(405, "Method Not Allowed", {"Allow": ", ".join(sorted(methods))})


NOWHERE = _refusing(404, "Not Found", {})
