"""Pool of the connections of the fast path."""

import asyncio
import time
from collections import deque
from math import inf

import aiohttp
from yarl import URL

from retab_async.transport.wire import Wire

_IDLE_SECONDS = 15.0
_READ_BUFFER_BYTES = 64 * 1024
# Timers of the event loop may fire a little early.
_CLOCK_SLACK_SECONDS = 0.001


class WirePool:
    """Pool of wires on one connector: last in first out, closed after 15 s of idleness, one timer for all deadlines.

    Attributes:
        alarm_at: When the timer of the deadlines fires, in `time.monotonic()` seconds; `inf` while it is not set.
        is_usable: Whether requests may take this path.
    """

    def __init__(self, connector: aiohttp.TCPConnector, loop: asyncio.AbstractEventLoop) -> None:
        self._connector = connector
        self._loop = loop
        self._buffer = memoryview(bytearray(_READ_BUFFER_BYTES))
        self._wires: set[Wire] = set()
        self._idle: deque[Wire] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self.alarm_at: float = inf
        self._sweep: asyncio.TimerHandle | None = None
        self.is_usable: bool = True

    @property
    def idle_count(self) -> int:
        """The number of idle wires."""
        return len(self._idle)

    def acquire_idle(self) -> Wire | None:
        """Return the most recently used idle wire, None if there is none."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open():
                return wire
            self.discard(wire)
        return None

    async def open(self, url: URL, connect_seconds: float) -> Wire | None:
        """Open a connection, or take over an idle one of the connector; return None if that does not work here.

        Raises:
            aiohttp.ClientError: The connection failed, or took longer than `connect_seconds`.
        """
        request = aiohttp.ClientRequest("GET", url, loop=self._loop)
        try:
            async with asyncio.timeout(connect_seconds):
                connection = await self._connector.connect(request, [], aiohttp.ClientTimeout(total=None))
        except TimeoutError as error:
            msg = f"Connection timeout to host {url.origin()}"
            raise aiohttp.ConnectionTimeoutError(msg) from error
        wire = Wire(connection, self._loop, self._buffer)
        if not wire.is_connected:
            self.is_usable = False
            wire.release()
            return None
        self._wires.add(wire)
        return wire

    def set_alarm(self, deadline: float) -> None:
        """Let the timer fire at a deadline before `alarm_at`, in `time.monotonic()` seconds."""
        if self._alarm is not None:
            self._alarm.cancel()
        self.alarm_at = deadline
        self._alarm = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._expire_overdue)

    def release(self, wire: Wire) -> None:
        """Keep a wire for the next request, if it is still open."""
        if not wire.rest():
            self.discard(wire)
            return
        self._idle.append(wire)
        if self._sweep is None:
            self._sweep = self._loop.call_later(_IDLE_SECONDS, self._close_idle)

    def discard(self, wire: Wire) -> None:
        """Close a wire and forget it."""
        self._wires.discard(wire)
        wire.close()

    def hand_back(self, wire: Wire) -> None:
        """Give a delegated wire's connection back to aiohttp's connector."""
        self._wires.discard(wire)
        wire.release()

    def lend(self) -> None:
        """Give one idle connection to aiohttp's connector, so that the ClientSession path opens none on top."""
        wire = self.acquire_idle()
        if wire is not None:
            self.hand_back(wire)

    def close(self) -> None:
        """Cancel the timers and drop the idle wires, after the connector was closed."""
        self.is_usable = False
        for timer in (self._alarm, self._sweep):
            if timer is not None:
                timer.cancel()
        self._alarm = self._sweep = None
        # A wire in flight belongs to its request, which discards it when its connection is lost.
        while self._idle:
            self.discard(self._idle.pop())

    def _expire_overdue(self) -> None:
        self._alarm, self.alarm_at = None, inf
        now = time.monotonic() + _CLOCK_SLACK_SECONDS
        earliest = inf
        for wire in self._wires:
            if wire.deadline <= now:
                wire.expire()
            else:
                earliest = min(earliest, wire.deadline)
        if earliest < inf:
            self.set_alarm(earliest)

    def _close_idle(self) -> None:
        self._sweep = None
        oldest = time.monotonic() - _IDLE_SECONDS + _CLOCK_SLACK_SECONDS
        while self._idle and self._idle[0].idle_since <= oldest:
            self.discard(self._idle.popleft())
        if self._idle:
            self._sweep = self._loop.call_later(max(0.05, self._idle[0].idle_since - oldest), self._close_idle)
