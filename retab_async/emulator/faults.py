"""Scripted faults: what the next responses of a route are instead of the usual ones."""

import http.client
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from retab_async.emulator.connection import Connection
from retab_async.emulator.responses import JSON_TYPE, Response

Play = Callable[[Connection], Awaitable[Response | None]]
ANY_ROUTE = "*"


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
    ) -> "Fault":
        """Answer with a status; the request has no effect.

        Args:
            code: The HTTP status, 200 to 599.
            body: A dict is sent as JSON, a str as plain text, bytes as they are with the JSON content type. By default
                the body is a `detail` that names the status.
            headers: Headers to add; they replace those that follow from the other arguments.
            retry_after: The `Retry-After` header, in seconds or as it is.

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
        hint = {} if retry_after is None else {"Retry-After": str(retry_after)}
        response = Response(code, content, {"Content-Type": content_type, **hint, **_title_case(headers)})

        async def play(_: Connection) -> Response:
            return response

        return cls(f"status {code}", play)

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
