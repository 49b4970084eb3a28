"""HTTP exchange on the fast connection path, for requests without a body that go to the API itself."""

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from yarl import URL

from retab_async.protocol import DeliveryState, Request, Response
from retab_async.transport.response_body import (
    MAX_INLINE_BYTES,
    DownloadTimer,
    IncompleteResponseError,
    ResponseReader,
    read_capped,
)
from retab_async.transport.wire import CONNECTION_LOST_ERRORS, RequestHead, Wire, WireResponse
from retab_async.transport.wire_pool import WirePool

# No wait has less, in seconds: a timeout of 0 would swallow a cancellation.
_MIN_SECONDS = 0.001


# `Exchange.run` over a ClientSession.
Fallback: TypeAlias = Callable[[Request, int, float, DeliveryState], Coroutine[Any, Any, Response]]


class FastExchange:
    """HTTP exchange over wires: sends requests with the headers of one client, each once.

    Args:
        base_url: Address of the API.
        headers: Headers of every request, the credential among them.
        connect_timeout: Seconds for opening a connection.
        reader: Makes the responses, within the client's limits.
        fallback: Sends a request where the fast path turns out to be unusable.
    """

    def __init__(
        self,
        base_url: URL,
        headers: Mapping[str, str],
        connect_timeout: float,
        reader: ResponseReader,
        fallback: Fallback,
    ) -> None:
        self._fallback = fallback
        self._base_url = base_url
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._reader = reader
        self._heads: dict[str, RequestHead] = {}

    async def run(  # noqa: C901 - another call would be measurable
        self, wires: WirePool, request: Request, number: int, seconds: float, delivery: DeliveryState
    ) -> Response:
        """Send attempt `number` of a request and return its response, all within `seconds`.

        A kept-alive connection that the server had closed costs another send.

        Raises:
            aiohttp.ClientError: There was no response.
            TimeoutError: There was none in time.
        """
        deadline = time.monotonic() + seconds
        delivery.is_sent = True
        head = self._heads.get(request.method) or self._make_head(request.method)
        target = request.target if request.query else request.path
        while True:
            wire = wires.acquire_idle()
            if wire is None:
                left = max(deadline - time.monotonic(), _MIN_SECONDS)
                wire = await wires.open(self._base_url, min(left, self._connect_timeout))
                if wire is None:
                    return await self._fallback(
                        request, number, max(deadline - time.monotonic(), _MIN_SECONDS), delivery
                    )
            # Not before the wire is open: the timer forgets the deadlines that no wire has when it fires.
            if deadline < wires.alarm_at:
                wires.set_alarm(deadline)
            try:
                response = await wire.send(head, target, deadline)
                if response is None:
                    response = await self._read_delegated(wires, wire, request, deadline)
                else:
                    wires.release(wire)
            except CONNECTION_LOST_ERRORS:
                wires.discard(wire)
                if not (wire.is_reused and request.is_repeatable):
                    raise
                # The server had closed this kept-alive connection: send again, uncounted.
                delivery.in_doubt = True
                delivery.resends += 1
            except BaseException:
                wires.discard(wire)
                raise
            else:
                status, headers, body = response
                if len(body) <= MAX_INLINE_BYTES:
                    return self._reader.to_response(request, status, headers, body, number)
                return await self._reader.to_large_response(request, status, headers, body, number)

    def _make_head(self, method: str) -> RequestHead:
        head = self._heads[method] = RequestHead(method, self._base_url, self._headers)
        return head

    async def _read_delegated(self, wires: WirePool, wire: Wire, request: Request, deadline: float) -> WireResponse:
        timer = DownloadTimer(max(deadline - time.monotonic(), _MIN_SECONDS))
        try:
            async with timer.timeout:
                status, headers, payload = await wire.read_head()
                length = headers.get("Content-Length")
                limit = self._reader.limit_of(request, status)
                body = await read_capped(payload, int(length) if length else None, limit, timer)
        except TimeoutError:
            if timer.received is None:
                raise
            raise IncompleteResponseError(timer.received, timer.extension) from None
        if payload.at_eof() and wire.take_back():
            wires.release(wire)
        else:
            wires.discard(wire)
        return status, headers, body
