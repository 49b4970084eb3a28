"""One send of a `Request`, and the reading of its answer."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from retab_async.errors import RetabError
from retab_async.protocol import ERROR_CAP, Request, Response, Trail
from retab_async.settings import Settings
from retab_async.transport.failures import harmless
from retab_async.transport.lines import AnswerLines
from retab_async.transport.payload import Streamed
from retab_async.transport.pool import LOST, Pool, opened_sockets

if TYPE_CHECKING:
    from socket import socket

# From what aiohttp raised, after how many seconds, to what it means.
Meaning: TypeAlias = Callable[[Request, int, float, Exception], RetabError]

# No attempt is given less, in seconds: aiohttp takes 0 for no timeout at all.
SHORTEST_TIMEOUT = 0.001

# aiohttp rounds timeouts above its threshold up to the whole second.
_NEVER_ROUND = 1e9


class Exchange:
    """Sends requests over a pool, each once, with the headers of one client; `usual_seconds` is their timeout.

    Of an answer that comes line by line, `meaning` tells what breaks it, and `release` is called when it is closed.
    """

    def __init__(
        self, pool: Pool, settings: Settings, usual_seconds: float, meaning: Meaning, release: Callable[[], None]
    ) -> None:
        self.usual_seconds = usual_seconds
        self._pool = pool
        self._meaning = meaning
        self._release = release
        self._usual_timeout = _timeout(usual_seconds)
        self._redact = settings.credential.redact
        self._address = URL(settings.base_url)
        self._prefix = self._address.raw_path.rstrip("/")
        self._user_agent = settings.user_agent
        self._headers = {
            "Accept": "application/json",
            "User-Agent": settings.user_agent,
            settings.credential.header: settings.credential.value,
        }
        options = {
            "headers": CIMultiDict(self._headers),
            # The key would be sent along to wherever a redirect points.
            "allow_redirects": False,
            **({"proxy": URL(settings.proxy)} if settings.proxy else {}),
        }
        self._options: dict[str, dict[str, Any]] = {
            method: options | pool.options(method) for method in ("GET", "POST", "PUT", "DELETE")
        }

    async def make(self, request: Request, number: int, seconds: float, trail: Trail) -> Response:
        """Send attempt `number` of a request and return its answer, all within so many seconds.

        A kept-alive connection that the server had closed costs another send. Raises what aiohttp raises.
        """
        until = time.monotonic() + seconds
        opened: list[socket] = []
        opened_sockets.set(opened)
        # What carries no body is gone as soon as it is on the socket; a body says when it is.
        trail.under_way = request.body is None
        try:
            return await self._send(request, number, seconds, trail)
        except LOST as error:
            lost: Exception = error
        return await self._resend(request, number, until, lost, trail)

    async def _resend(self, request: Request, number: int, until: float, lost: Exception, trail: Trail) -> Response:
        again = True
        while again and not opened_sockets.get() and not isinstance(lost, aiohttp.ClientConnectorError):
            # The server had closed this kept-alive socket: send again, uncounted, until a socket has to be opened. In
            # someone else's session that cannot be told, so there it is done once.
            again = not self._pool.is_foreign
            trail.in_doubt |= trail.under_way
            trail.under_way = request.body is None
            try:
                return await self._send(request, number, max(until - time.monotonic(), SHORTEST_TIMEOUT), trail)
            except LOST as error:
                lost = error
        raise lost

    async def _send(self, request: Request, number: int, seconds: float, trail: Trail) -> Response:
        session = self._pool.session()
        timeout = self._usual_timeout if seconds == self.usual_seconds else self._timeout(seconds)
        body = None if request.body is None else Streamed(request.body, trail)
        failure: RetabError | None = None
        try:
            if request.is_streamed:
                return await self._open(request, number, seconds, body)
            answer = await session.request(
                request.method, self._url(request), timeout=timeout, **self._told_with(request, body)
            )
        except aiohttp.ClientError:
            failure = body.failure if body is not None else None
            if failure is None:
                raise
        if failure is not None:
            raise failure
        return await self._whole(answer, request, number)

    async def _open(self, request: Request, number: int, seconds: float, body: Streamed | None) -> Response:
        # aiohttp's own clock would go on ticking while the lines come.
        endless = _timeout(None, self.usual_seconds)
        async with asyncio.timeout(seconds):
            session = self._pool.session()
            answer = await session.request(
                request.method, self._url(request), timeout=endless, **self._told_with(request, body)
            )
            if not 200 <= answer.status < 300:
                return await self._whole(answer, request, number)

        def meaning(seconds: float, error: Exception) -> tuple[RetabError, BaseException | None]:
            return self._meaning(request, number, seconds, error), harmless(error)

        lines = AnswerLines(answer, self.usual_seconds, meaning, self._release)
        return Response(request, answer.status, answer.headers, b"", number, self._redact, lines)

    async def _whole(self, answer: aiohttp.ClientResponse, request: Request, number: int) -> Response:
        try:
            cap = request.cap if 200 <= answer.status < 300 else ERROR_CAP
            content = await answer.content.read(cap + 1)
            if len(content) <= cap and not answer.content.at_eof():
                content = await _read_on(answer, content, cap)
        finally:
            # Read to its end it has closed itself and its connection is back in the pool; any other one is of no use.
            if not answer.closed:
                answer.close()
        return Response(request, answer.status, answer.headers, content, number, self._redact)

    def _url(self, request: Request) -> URL:
        if request.elsewhere:
            return URL(request.elsewhere, encoded=True)
        url = self._address.with_path(self._prefix + request.path, encoded=True)
        return URL(f"{url}?{request.query}", encoded=True) if request.query else url

    def _told_with(self, request: Request, body: Streamed | None) -> dict[str, Any]:
        # Never to be held by a frame that errors pass through: whoever collects locals would have the key.
        if body is None:
            return self._options[request.method]
        told = {"User-Agent": self._user_agent} if request.elsewhere else self._headers
        headers = CIMultiDict({**told, **dict(request.headers)})
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return {**self._options[request.method], "headers": headers, "data": body}

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        # What may take long to be answered is to connect as quickly as everything else.
        return _timeout(seconds, min(seconds, self.usual_seconds))


async def _read_on(answer: aiohttp.ClientResponse, start: bytes, cap: int) -> bytes:
    # In pieces, and no further than one byte past the cap: a few kilobytes of gzip can stand for gigabytes.
    body = bytearray(start)
    while len(body) <= cap and (piece := await answer.content.read(cap + 1 - len(body))):
        body += piece
    return bytes(body)


def _timeout(seconds: float | None, connecting: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connecting, ceil_threshold=_NEVER_ROUND)
