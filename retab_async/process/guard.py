"""Outage guard: the sends of a process job pass its circuit breaker, and are repeated while the server is away."""

import asyncio
import time
from collections.abc import Callable

from retab_async.bulk import CircuitBreaker, CircuitState, is_caller_refusal, probe_timeout
from retab_async.errors import APIError, APITimeoutError, RequestError
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.retry import RetryPolicy, backoff_delay, is_throttled, is_transient, retry_after_of
from retab_async.transport import Transport

# Calls, each with the attempts of the retry policy, after which a document fails by itself while others succeed.
_MAX_CALLS = 3
# A longer `Retry-After` of a 429 ends the job, and a longer time without the turn of any request, in seconds.
_MAX_PAUSE = 300.0


class OutageGuard:
    """Guard of all creates and uploads of a job.

    While the circuit is open, each request waits and one at a time is sent as a probe. A request that the server
    throttles is repeated for as long as that takes.

    Args:
        breaker: The circuit breaker of the job.
        count_workers: Returns the number of workers.
        on_refusal: Called with an error that is about the caller, so that every other document would be refused too.

    Attributes:
        known_run: The path of a run that exists, read to find out whether a server that fails a create is available.
    """

    def __init__(
        self, breaker: CircuitBreaker, count_workers: Callable[[], int], on_refusal: Callable[[RequestError], None]
    ) -> None:
        self._breaker = breaker
        self._count_workers = count_workers
        self._on_refusal = on_refusal
        self._forbidden = 0
        self._answered_at = time.monotonic()
        self.known_run: str | None = None

    async def send(self, transport: Transport, request: Request, delivery: DeliveryState) -> Response:
        """Send a request until it succeeds, is refused, fails by itself, or the outage timeout expires.

        Raises:
            RequestError: As `Transport.send`; after the outage timeout, the last failure of any request.
        """
        calls = 0
        while True:
            if self._breaker.state is CircuitState.OPEN:
                response = await self._probe(transport, request, delivery)
                if response is not None:
                    return response
            elif self._breaker.state is CircuitState.GIVEN_UP:
                raise self._last_failure()
            else:
                try:
                    response = await transport.send(request, None, delivery)
                except RequestError as error:
                    calls += 1
                    delay = self._delay_after(transport, request, error, calls)
                    if delay is None:
                        raise
                else:
                    self._on_success()
                    return response
                await asyncio.sleep(delay)

    def _delay_after(self, transport: Transport, request: Request, error: RequestError, calls: int) -> float | None:
        # The seconds after which to send again; None for never.
        if _is_refusal(error):
            self._record_refusal(request, error)
            return None
        delay = backoff_delay(transport.policy, calls, error)
        is_held_up = isinstance(error, APITimeoutError) and not error.transient
        if is_held_up or (isinstance(error, APIError) and error.status_code == 429):
            return delay if self._may_wait_longer(error) else None
        self._breaker.on_failure(error, self._count_workers())
        if self._breaker.state is CircuitState.OPEN:
            return 0.0
        return delay if calls < _MAX_CALLS else None

    def _may_wait_longer(self, error: RequestError) -> bool:
        # A server that enforces a limit is available, however long that takes; a request whose turn did not come in
        # time was held up by the throttle, or by other calls.
        if isinstance(error, APIError):
            self._on_answer()
        if max(retry_after_of(error), time.monotonic() - self._answered_at) > _MAX_PAUSE:
            self._breaker.give_up(error)
            return False
        return True

    async def _probe(self, transport: Transport, request: Request, delivery: DeliveryState) -> Response | None:
        seconds = probe_timeout(transport.last_latency)
        single = transport.with_timeout(timeout=seconds, policy=RetryPolicy(attempts=1, deadline=seconds))
        async with self._breaker.probe_turn() as is_due:
            return await self._send_probe(single, request, delivery) if is_due else None

    async def _send_probe(self, single: Transport, request: Request, delivery: DeliveryState) -> Response | None:
        try:
            response = await single.send(request, None, delivery)
        except RequestError as error:
            if _is_refusal(error):
                self._record_refusal(request, error)
                raise
            self._breaker.on_failure(error, self._count_workers())
            if is_throttled(error) or (isinstance(error, APIError) and await self._is_available(single)):
                # It fails for this document alone.
                self._on_answer()
            return None
        self._on_success()
        return response

    async def _is_available(self, single: Transport) -> bool:
        if self.known_run is None:
            return False
        try:
            await single.send(Request("GET", self.known_run))
        except RequestError as error:
            return _is_refusal(error)
        return True

    def _on_success(self) -> None:
        self._forbidden = 0
        self._on_answer()

    def _on_answer(self) -> None:
        self._answered_at = time.monotonic()
        if self._breaker.is_suspect:
            self._breaker.on_success()

    def _record_refusal(self, request: Request, error: RequestError) -> None:
        if request.external_url:
            # The storage of uploads says nothing about the caller.
            return
        if isinstance(error, APIError):
            self._forbidden = self._forbidden + 1 if error.status_code == 403 and self.known_run is None else 0
            self._on_answer()
        if is_caller_refusal(error, forbidden=self._forbidden):
            self._on_refusal(error)
            self._breaker.give_up(error)

    def _last_failure(self) -> RequestError:
        error = self._breaker.error
        assert error is not None  # noqa: S101 - the circuit gives up because of one
        return error


def _is_refusal(error: RequestError) -> bool:
    return not is_transient(error) and not isinstance(error, APITimeoutError)
