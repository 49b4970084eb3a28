"""Trouble to order: what the next answers of a route are to be instead of the usual ones."""

import http.client
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import attrs

from retab_async.emulator.answers import JSON_TYPE, Response
from retab_async.emulator.connection import Connection

Play = Callable[[Connection], Awaitable[Response | None]]


@attrs.frozen
class Fault:
    """One answer that goes wrong; made by the methods below, ordered with `Emulator.fail`."""

    name: str
    # The answer to give, or None when there is no connection left to give one on.
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
        """Answer with this status, and the request has no effect.

        A dict is sent as JSON, a str as plain text, and bytes as they are, said to be JSON; None makes a `detail`.
        `headers` win over those that follow from the rest.
        """
        content, kind = _content(code, body)
        hint = {} if retry_after is None else {"Retry-After": str(retry_after)}
        answer = Response(code, content, {"Content-Type": kind, **hint, **_titled(headers)})

        async def play(_: Connection) -> Response:
            return answer

        return cls(f"status {code}", play)

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection; the request has no effect."""

        async def play(exchange: Connection) -> None:
            exchange.note_unanswered()
            exchange.reset()

        return cls("reset", play)

    @classmethod
    def late_reset(cls) -> "Fault":
        """Reset the connection after the request took effect."""

        async def play(exchange: Connection) -> None:
            await exchange.proceed()
            exchange.note_unanswered()
            exchange.reset()

        return cls("late_reset", play)

    @classmethod
    def cut(cls) -> "Fault":
        """Let the request take effect and break its answer off within the body."""

        async def play(exchange: Connection) -> None:
            answer = await exchange.proceed()
            exchange.note_unanswered()
            exchange.truncate(answer)

        return cls("cut", play)

    @classmethod
    def hang(cls) -> "Fault":
        """Answer nothing until the client goes or the emulator closes; the request has no effect."""

        async def play(exchange: Connection) -> None:
            await exchange.hang()

        return cls("hang", play)

    @classmethod
    def late_hang(cls) -> "Fault":
        """Let the request take effect, and answer nothing until the client goes or the emulator closes."""

        async def play(exchange: Connection) -> None:
            await exchange.proceed()
            await exchange.hang()

        return cls("late_hang", play)

    @classmethod
    def late(cls, seconds: float) -> "Fault":
        """Let the request take effect at once, and answer so many seconds later, or when the emulator closes."""

        async def play(exchange: Connection) -> Response | None:
            answer = await exchange.proceed()
            return answer if await exchange.delay(seconds) else None

        return cls(f"late {seconds:g}", play)

    @classmethod
    def slow(cls, seconds: float) -> "Fault":
        """Wait so many seconds, or until the emulator closes, before the request is read and takes effect as usual.

        Who has gone by then has asked for nothing; but while a body beyond some 200 kB waits to be read, nobody is seen
        to go.
        """

        async def play(exchange: Connection) -> Response | None:
            return await exchange.proceed() if await exchange.delay(seconds) else None

        return cls(f"slow {seconds:g}", play)


def _content(code: int, body: bytes | str | dict[str, Any] | None) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, JSON_TYPE
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    detail = {"detail": http.client.responses.get(code, "Error")} if body is None else body
    return json.dumps(detail).encode(), JSON_TYPE


def _titled(headers: Mapping[str, str] | None) -> dict[str, str]:
    # One spelling, so that a header given replaces the one it is meant to.
    return {name.title(): value for name, value in (headers or {}).items()}


class FaultQueue:
    """The faults still to come, by route."""

    def __init__(self, routes: Iterable[str]) -> None:
        self._routes = frozenset({*routes, "*"})
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def add(self, route: str, faults: Iterable[Fault]) -> None:
        """Put `faults` at the end of a route's queue; ValueError for a route that there is not."""
        if route not in self._routes:
            msg = f"no such route: {route!r}; there are {', '.join(sorted(self._routes))}"
            raise ValueError(msg)
        self._waiting[route].extend(faults)

    def take(self, route: str) -> Fault | None:
        """Take the next fault of `route`, or else of every route."""
        for name in (route, "*"):
            if self._waiting.get(name):
                return self._waiting[name].popleft()
        return None
