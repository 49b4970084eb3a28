"""Circuit breaker of a bulk job: opens after consecutive transient failures, closes when a send succeeds."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum

from retab_async.errors import APITimeoutError, RequestError
from retab_async.retry import retry_after_of

# The circuit opens after as many consecutive failures as there are workers, within these bounds. A timeout counts as
# two: the server was silent all the time, and what is sent again meanwhile hangs as long.
MIN_FAILURES = 3
MAX_FAILURES = 8
_TIMEOUT_WEIGHT = 2

# Seconds between the starts of two probes.
_FIRST_INTERVAL = 0.25
_INTERVAL_GROWTH = 1.5
# With the time of a probe that hangs, this keeps the recovery from being noticed more than two seconds late.
_MAX_INTERVAL = 1.5
_MIN_PROBE_SECONDS = 1.75
_MAX_PROBE_SECONDS = 5.0
# Timeout of a probe as a multiple of the latency of the last success.
_LATENCY_FACTOR = 4


class CircuitState(Enum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    """Sends pass."""
    OPEN = "open"
    """Only probes pass, one at a time."""
    GIVEN_UP = "given up"
    """The outage timeout has expired: nothing is sent any more."""


def probe_timeout(last_latency: float | None) -> float:
    """Return the timeout of a probe in seconds: short where the server used to respond quickly."""
    if last_latency is None:
        return _MAX_PROBE_SECONDS
    return min(max(_MIN_PROBE_SECONDS, last_latency * _LATENCY_FACTOR), _MAX_PROBE_SECONDS)


class CircuitBreaker:
    """Circuit breaker that all workers of a job share.

    Args:
        outage_timeout: Seconds from the first failure after which the circuit gives up, once a probe has failed too.
        draw: Draws the jitter of the probe interval.

    Attributes:
        state: Whether sends pass.
        is_suspect: The last send failed, so that the next success has to be reported.
        outages: Number of outages confirmed by a failed probe so far.
        error: The last failure.
    """

    def __init__(self, outage_timeout: float, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._outage_timeout = outage_timeout
        self._draw = draw
        self._failures = 0
        self._failing_since = 0.0
        self._probe_started_at = 0.0
        self._probe_interval = _FIRST_INTERVAL
        self._failed_probes = 0
        self._probe_lock = asyncio.Lock()
        self._is_settled = asyncio.Event()
        self.state: CircuitState = CircuitState.CLOSED
        self.is_suspect: bool = False
        self.outages: int = 0
        self.error: RequestError | None = None

    def on_success(self) -> None:
        """Record a response of the server, and close the circuit."""
        self._failures = 0
        self.is_suspect = False
        if self.state is CircuitState.OPEN:
            # Without a failed probe it was no outage: some ids that always fail came together.
            self.outages += self._failed_probes > 0
            self._leave_open(CircuitState.CLOSED)

    def on_failure(self, error: RequestError, workers: int) -> None:
        """Record a transient failure, and open the circuit after enough of them in a row."""
        self.error = error
        if self._failures == 0:
            self._failing_since = time.monotonic()
        self._failures += _TIMEOUT_WEIGHT if isinstance(error, APITimeoutError) else 1
        self.is_suspect = True
        if self.state is CircuitState.CLOSED and self._failures >= max(MIN_FAILURES, min(MAX_FAILURES, workers)):
            self.state = CircuitState.OPEN
            self._is_settled.clear()
            self._probe_interval = _FIRST_INTERVAL
            self._failed_probes = 0
            self._probe_started_at = time.monotonic()

    def give_up(self, error: RequestError | None = None) -> None:
        """Let nothing pass any more."""
        self.error = error or self.error
        self._leave_open(CircuitState.GIVEN_UP)

    @asynccontextmanager
    async def probe_turn(self) -> AsyncIterator[bool]:
        """Wait for the turn to probe the server; False where the circuit has left the open state meanwhile."""
        async with self._probe_lock:
            seconds = self.probe_delay()
            if self.state is CircuitState.OPEN and seconds > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._is_settled.wait()
            # The first failure may be long past, if nothing was sent in between: one probe has to fail now.
            if self.state is CircuitState.OPEN and self._failed_probes and self.is_expired:
                self.give_up()
            if self.state is not CircuitState.OPEN:
                yield False
                return
            self.start_probe()
            yield True
            self._failed_probes += self.state is CircuitState.OPEN

    def probe_delay(self) -> float:
        """Return the seconds until the next probe is due or the outage timeout expires."""
        asked = min(retry_after_of(self.error), _MAX_PROBE_SECONDS)
        due = self._probe_started_at + max(asked, self._probe_interval * self._draw(0.8, 1.0))
        return max(0.0, min(due, self._failing_since + self._outage_timeout) - time.monotonic())

    @property
    def is_expired(self) -> bool:
        """Whether the outage timeout has expired."""
        return time.monotonic() >= self._failing_since + self._outage_timeout

    def start_probe(self) -> None:
        """Record that a probe is sent, and lengthen the interval to the next one."""
        self._probe_started_at = time.monotonic()
        self._probe_interval = min(self._probe_interval * _INTERVAL_GROWTH, _MAX_INTERVAL)

    def _leave_open(self, state: CircuitState) -> None:
        self.state = state
        self._is_settled.set()
