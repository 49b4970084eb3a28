"""Router: from a request's method and path to the route that handles it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote

import attrs
from aiohttp import web

from retab_async.emulator.responses import HTTPError, Response
from retab_async.emulator.service import Service

# Handles a request, given the id in its path; raises HTTPError to reject it.
Handler: TypeAlias = Callable[[Service, str, web.BaseRequest], Awaitable[Response]]
# A path at its slashes; None stands for any id.
Segments: TypeAlias = tuple[str | None, ...]
# At most once in a path.
ANY_ID = "{id}"


@attrs.frozen
class Route:
    """Method and path, in which `{id}` is any id; an `authenticated` route needs a key and is rate limited."""

    method: str
    path: str
    handler: Handler
    authenticated: bool = attrs.field(default=True, kw_only=True)

    @property
    def name(self) -> str:
        """The name of the route for `Emulator.fail`."""
        return f"{self.method} {self.path}"


@attrs.frozen
class RouteMatch:
    """Route of a request, and the id in its path."""

    route: Route
    id: str = ""


class Router:
    """Router: routes by the segments of their paths; a literal path takes precedence over one with an id."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._paths: dict[Segments, dict[str, Route]] = {}
        for route in routes:
            segments = tuple(None if part == ANY_ID else part for part in route.path.split("/"))
            self._paths.setdefault(segments, {})[route.method] = route
        self._ids_at = sorted({path.index(None) for path in self._paths if None in path})

    def match(self, method: str, raw_path: str) -> RouteMatch:
        """Return the route for a path as it was sent; an unknown one gets a route that answers 404 or 405."""
        for segments, raw_id in self._candidates(tuple(raw_path.split("/"))):
            methods = self._paths.get(segments)
            if methods is not None:
                return RouteMatch(methods.get(method) or _not_allowed(methods), unquote(raw_id))
        return RouteMatch(_error_route(404, f"the emulator has no route {method} {raw_path}", {}))

    def _candidates(self, sent: tuple[str, ...]) -> Iterator[tuple[Segments, str]]:
        yield sent, ""
        for at in self._ids_at:
            if at < len(sent) and sent[at]:
                yield (*sent[:at], None, *sent[at + 1 :]), sent[at]


def _error_route(status: int, detail: str, headers: Mapping[str, str]) -> Route:
    async def refuse(_: Service, __: str, ___: web.BaseRequest) -> Response:
        raise HTTPError(status, detail, headers)

    return Route("", "", refuse)


def _not_allowed(methods: Iterable[str]) -> Route:
    return _error_route(405, "Method Not Allowed", {"Allow": ", ".join(sorted(methods))})
