"""Scripted faults: what the next responses of a route are instead of the usual ones."""

import http.client
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from email.utils import format_datetime
from typing import Any

import attrs

from retab_async.emulator.connection import Connection
from retab_async.emulator.responses import JSON_TYPE, Response

Play = Callable[[Connection], Awaitable[Response | None]]
ANY_ROUTE = "*"
SLOW_BODY_PIECES = 20
# Statuses of gateways that have no standard name.
GATEWAY_TITLES = {
    520: "Web server returned an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    529: "Site is overloaded",
    530: "Origin DNS error",
}


@attrs.frozen
class Fault:
    """Scripted fault of one response, made by a class method and queued with `Emulator.fail`.

    Most faults keep the request from taking effect. Those named `..._after_effect`, and `truncate`, let it take effect
    first, which the client cannot know.

    Args:
        name: What the fault does, as shown in its repr.
        play: Returns the response to send, or None if there is no connection left to send one on.
    """

    name: str
    play: Play = attrs.field(repr=False)

    @classmethod
    def status(
        cls,
        code: int,
        *,
        body: bytes | str | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        retry_after_ms: float | None = None,
    ) -> "Fault":
        """Answer with a status; the request has no effect.

        Args:
            code: The HTTP status, 200 to 599.
            body: A dict is sent as JSON, a str as plain text, bytes as they are with the JSON content type. By default
                the body is a `detail` that names the status.
            headers: Headers to add; they replace those that follow from the other arguments.
            retry_after: The `Retry-After` header, in seconds or as it is.
            retry_after_ms: The `retry-after-ms` header, in milliseconds.

        Raises:
            TypeError: `code` is not an int.
            ValueError: `code` is not an HTTP status.
        """
        if not isinstance(code, int) or isinstance(code, bool):
            msg = f"a status is an int such as 503, not {code!r}"
            raise TypeError(msg)
        if not 200 <= code <= 599:
            msg = f"a status is from 200 to 599, not {code}"
            raise ValueError(msg)
        content, content_type = _content(code, body)
        hints = {"Retry-After": retry_after, "Retry-After-Ms": retry_after_ms}
        given = {name: str(value) for name, value in hints.items() if value is not None}
        response = Response(code, content, {"Content-Type": content_type, **given, **_title_case(headers)})

        async def play(_: Connection) -> Response:
            return response

        return cls(f"status {code}", play)

    @classmethod
    def gateway(cls, code: int) -> "Fault":
        """Answer as a gateway in front of the API does: a status such as 502, 520 to 524 or 530, with an HTML page.

        The request has no effect.

        Args:
            code: The HTTP status.
        """
        title = GATEWAY_TITLES.get(code) or http.client.responses.get(code, "Error")
        page = f"<html><head><title>{title}</title></head><body><h1>{code} {title}</h1></body></html>"
        fault = cls.status(code, body=page, headers={"Content-Type": "text/html; charset=utf-8", "Server": "gateway"})
        return attrs.evolve(fault, name=f"gateway {code}")

    @classmethod
    def retry_at(cls, seconds: float, *, code: int = 429, clock_skew: float = 0.0) -> "Fault":
        """Answer with a `Retry-After` date, from a server whose clock may be wrong; the request has no effect.

        Args:
            seconds: How long after the response's own `Date` header the date is; HTTP dates have whole seconds.
            code: The HTTP status.
            clock_skew: Seconds by which the server's clock is ahead of real time; negative if it is behind.
        """

        async def play(_: Connection) -> Response:
            date = datetime.now(UTC) + timedelta(seconds=clock_skew)
            headers = {"Date": _http_date(date), "Retry-After": _http_date(date + timedelta(seconds=seconds))}
            content, content_type = _content(code, None)
            return Response(code, content, {"Content-Type": content_type, **headers})

        return cls(f"retry_at {seconds:g}", play)

    @classmethod
    def with_fields(cls, fields: Mapping[str, Any]) -> "Fault":
        """Let the request take effect, and replace or add top-level fields of its JSON response.

        Args:
            fields: The fields, such as `{"created_at": 1793527200}`; of another response than an object none.
        """

        def changed(response: Response) -> Response:
            payload = json.loads(response.full_body() or b"null")
            if isinstance(payload, dict):
                payload |= fields
            return attrs.evolve(response, body=json.dumps(payload).encode(), lines=None)

        return cls._changing("with_fields", changed)

    @classmethod
    def long_header(cls, size: int) -> "Fault":
        """Let the request take effect, and add a header to its response, as corporate proxies do.

        Args:
            size: The length of the header's value in bytes.
        """
        return cls._changing(
            f"long_header {size}",
            lambda response: attrs.evolve(response, headers={**response.headers, "X-Proxy-Trace": "x" * size}),
        )

    @classmethod
    def slow_body(cls, seconds: float, *, size: int = 0) -> "Fault":
        """Let the request take effect, and send the body of its response slowly but steadily.

        Args:
            seconds: Seconds of real time for the whole body.
            size: Bytes to which the body is padded with white space, which JSON ignores.
        """

        def changed(response: Response) -> Response:
            body = response.full_body().ljust(size)
            pieces = max(1, min(SLOW_BODY_PIECES, len(body)))
            length = -(-len(body) // pieces) or 1
            lines = [body[start : start + length] for start in range(0, len(body), length)]
            headers = {**response.headers, "Content-Length": str(len(body))}
            return attrs.evolve(
                response, headers=headers, lines=lambda: iter(lines), chunk_interval=seconds / (2 * pieces)
            )

        return cls._changing(f"slow_body {seconds:g}", changed)

    @classmethod
    def _changing(cls, name: str, change: Callable[[Response], Response]) -> "Fault":
        async def play(connection: Connection) -> Response:
            return change(await connection.handle())

        return cls(name, play)

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection; the request has no effect."""

        async def play(connection: Connection) -> None:
            connection.record_unanswered()
            connection.reset()

        return cls("reset", play)

    @classmethod
    def reset_after_effect(cls) -> "Fault":
        """Let the request take effect, then reset the connection."""

        async def play(connection: Connection) -> None:
            await connection.handle()
            connection.record_unanswered()
            connection.reset()

        return cls("reset_after_effect", play)

    @classmethod
    def truncate(cls) -> "Fault":
        """Let the request take effect, then close the connection in the middle of the response's body."""

        async def play(connection: Connection) -> None:
            response = await connection.handle()
            connection.record_unanswered()
            connection.truncate(response)

        return cls("truncate", play)

    @classmethod
    def hang(cls) -> "Fault":
        """Send nothing until the client disconnects or the emulator closes; the request has no effect."""

        async def play(connection: Connection) -> None:
            await connection.hang()

        return cls("hang", play)

    @classmethod
    def hang_after_effect(cls) -> "Fault":
        """Let the request take effect, then send nothing until the client disconnects or the emulator closes."""

        async def play(connection: Connection) -> None:
            await connection.handle()
            await connection.hang()

        return cls("hang_after_effect", play)

    @classmethod
    def delay_after_effect(cls, seconds: float) -> "Fault":
        """Let the request take effect, and send its response later.

        Args:
            seconds: The delay in seconds of real time, cut short when the emulator closes.
        """

        async def play(connection: Connection) -> Response | None:
            response = await connection.handle()
            return response if await connection.delay(seconds) else None

        return cls(f"delay_after_effect {seconds:g}", play)

    @classmethod
    def delay(cls, seconds: float) -> "Fault":
        """Wait before the request is read and takes effect; it has none if the client disconnects meanwhile.

        A disconnect goes unnoticed while a body of more than about 200 kB waits to be read.

        Args:
            seconds: The delay in seconds of real time, cut short when the emulator closes.
        """

        async def play(connection: Connection) -> Response | None:
            return await connection.handle() if await connection.delay(seconds) else None

        return cls(f"delay {seconds:g}", play)


def _content(code: int, body: bytes | str | dict[str, Any] | None) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, JSON_TYPE
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    detail = {"detail": http.client.responses.get(code, "Error")} if body is None else body
    return json.dumps(detail).encode(), JSON_TYPE


def _http_date(date: datetime) -> str:
    return format_datetime(date, usegmt=True)


def _title_case(headers: Mapping[str, str] | None) -> dict[str, str]:
    # One spelling, so that a given header replaces the generated one.
    return {name.title(): value for name, value in (headers or {}).items()}


class FaultQueue:
    """Queues of the scripted faults, one for each route."""

    def __init__(self, routes: Iterable[str]) -> None:
        self._routes = frozenset({*routes, ANY_ROUTE})
        self._pending: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def add(self, route: str, faults: tuple[Fault, ...]) -> None:
        """Append `faults` to the queue of a route; see `Emulator.fail` for the errors."""
        if route not in self._routes:
            raise ValueError(self._unknown(route))
        if not faults:
            msg = "no fault given: pass at least one, such as Fault.status(503), or Fault.reset()"
            raise TypeError(msg)
        for fault in faults:
            if not isinstance(fault, Fault):
                advice = f": use Fault.status({fault})" if isinstance(fault, int) else ""
                msg = f"not a Fault: {fault!r}{advice}"
                raise TypeError(msg)
        self._pending[route].extend(faults)

    def take(self, route: str) -> Fault | None:
        """Remove and return the next fault of `route`, or else of every route."""
        for name in (route, ANY_ROUTE):
            if self._pending.get(name):
                return self._pending[name].popleft()
        return None

    def _unknown(self, route: str) -> str:
        near = get_close_matches(route, self._routes, n=1, cutoff=0.0)
        return f"no such route: {route!r}; did you mean {near[0]!r}? Routes: {', '.join(sorted(self._routes))}"
