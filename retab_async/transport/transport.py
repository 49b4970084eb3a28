"""Sends requests and retries them; the transport of single calls and of bulk jobs."""

import time
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from retab_async.errors import APIConnectionError, APIError, RequestError, RetabError
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.retry import (
    RetryHooks,
    RetryPolicy,
    is_congestion,
    is_throttled,
    is_transient,
    log_retry,
    retry_after_failure,
    retry_after_of,
)
from retab_async.settings import Settings
from retab_async.throttle import BulkLimiter, FifoSemaphore, Permit, RateLimit, Throttle
from retab_async.transport.attempt import AttemptRunner, Call
from retab_async.transport.session import ConnectionPool

if TYPE_CHECKING:
    from retab_async.hooks import HookSet

_UNCOUNTED = ", again because the API throttles,"
# A longer `Retry-After` of a 429 ends a bulk send, in seconds.
_MAX_BULK_PAUSE = 300.0


class SendSuppressedError(Exception):
    """The bulk job was suspended before the turn of this send came; nothing was sent."""


class Transport:
    """Transport: sends requests with one client's credential, timeouts, proxy and throttle.

    Args:
        pool: The connections.
        settings: The client's settings.
        policy: Its retry policy.
        throttle: The throttle of its credential.
        slots: Connection slots of its own instead of the pool's; its requests then also pass the throttle's queue.
        hooks: Entered around each call.
    """

    def __init__(  # noqa: PLR0913 - all that a client's calls have in common
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        slots: FifoSemaphore | None = None,
        *,
        hooks: "HookSet | None" = None,
    ) -> None:
        self.hooks: HookSet | None = hooks or None
        self._pool = pool
        self._settings = settings
        self._policy = policy
        self._throttle = throttle
        self._attempts = AttemptRunner(pool, settings, policy, throttle, slots)

    @property
    def base_url(self) -> str:
        """The base URL of the API, without a slash at its end."""
        return self._settings.base_url

    @property
    def credential_fingerprint(self) -> str:
        """A hash of the credential, to tell accounts apart in files."""
        return self._settings.credential.fingerprint

    @property
    def policy(self) -> RetryPolicy:
        """The retry policy."""
        return self._policy

    @property
    def last_latency(self) -> float | None:
        """The seconds that the last success took, None before the first."""
        return self._throttle.last_latency

    @property
    def rate_period(self) -> float:
        """The seconds after which requests stop to count towards the given rate limit, 0.0 without one."""
        given = self._throttle.given
        return 0.0 if given is None else given.limit.per

    def closed_seconds(self) -> float:
        """Return the seconds for which no request can be sent, as far as known; see `Throttle.closed_seconds`."""
        return self._throttle.closed_seconds()

    def with_timeout(self, *, timeout: float, policy: RetryPolicy) -> "Transport":
        """Return a transport with the same pool and credential, but a shorter timeout and its own policy.

        Args:
            timeout: Seconds for one attempt; the settings' own if that is shorter.
            policy: The retry policy.
        """
        settings = self._settings._replace(timeout=min(timeout, self._settings.timeout))
        policy = attrs.evolve(policy, retry_statuses=policy.retry_statuses | self._policy.retry_statuses)
        return Transport(self._pool, settings, policy, self._throttle, hooks=self.hooks)

    def for_cleanup(self, *, timeout: float, turn_timeout: float, slots: FifoSemaphore) -> "CleanupTransport":
        """Return the transport of the cleanup queue, with the same pool, credential and throttle.

        Args:
            timeout: Seconds for one send; the settings' own if that is shorter.
            turn_timeout: Seconds for which a send waits for its turn of the throttle.
            slots: Connection slots of its own: it does not wait for the pool's, and passes the throttle's queue.
        """
        settings = self._settings._replace(timeout=min(timeout, self._settings.timeout))
        policy, throttle = self._policy, self._throttle
        return CleanupTransport(
            self._pool, settings, policy, throttle, slots, hooks=self.hooks, turn_timeout=turn_timeout
        )

    def for_bulk(
        self,
        max_in_flight: int,
        rate_limit: RateLimit | None = None,
        *,
        outage_timeout: float = inf,
        is_suspended: Callable[[], bool] = lambda: False,
    ) -> "BulkTransport":
        """Return the transport of a bulk job, with the same pool, credential and throttle.

        Args:
            max_in_flight: Requests of the job in flight at most.
            rate_limit: A known limit to keep to.
            outage_timeout: Seconds for which the server may answer nothing but 503s.
            is_suspended: Whether sends that had to wait for their turn are suppressed now.
        """
        return BulkTransport(
            self._pool,
            self._settings,
            self._policy,
            self._throttle,
            limiter=BulkLimiter(self._throttle, max_in_flight, rate_limit),
            outage_timeout=outage_timeout,
            is_suspended=is_suspended,
            hooks=self.hooks,
        )

    def guarded(self, guard: "SendGuard") -> "GuardedTransport":
        """Return a transport with the same pool, credential and throttle whose sends pass through a guard."""
        return GuardedTransport(self._pool, self._settings, self._policy, self._throttle, guard=guard, plain=self)

    def deadline(self, extra: float = 0.0) -> float:
        """Return the deadline of a call that begins now, in `time.monotonic()`, `extra` seconds later than usual."""
        return time.monotonic() + self._policy.deadline + extra

    def send(
        self, request: Request, deadline: float | None = None, delivery: DeliveryState | None = None
    ) -> Coroutine[Any, Any, Response]:
        """Send a request and retry it as the policy allows, until the response is a 2xx.

        Args:
            request: The request to send.
            deadline: When the call must be finished, in `time.monotonic()`; by default the policy's deadline from now
                on. For several sends that share one.
            delivery: Records whether the request may have taken effect, also when this is cancelled.

        Raises:
            APIError: The response is not a 2xx.
            APIConnectionError: There was no response.
            ResponseError: The response is larger than the request allows.
        """
        if self.hooks is None:
            return self._send(request, deadline, delivery)
        return self._observe(self.hooks, request, deadline, delivery or DeliveryState())

    async def _observe(
        self, hooks: "HookSet", request: Request, deadline: float | None, delivery: DeliveryState
    ) -> Response:
        return await hooks.observe(request, self.base_url, partial(self._send, request, deadline, delivery), delivery)

    async def _send(self, request: Request, deadline: float | None, delivery: DeliveryState | None) -> Response:
        if deadline is None:
            deadline = self.deadline(request.extra_seconds)
        call = Call(request, deadline, delivery or DeliveryState())
        try:
            try:
                return await self._attempts.run(call, 1)
            except RequestError as error:
                if not is_transient(error) or not request.is_repeatable:
                    raise
                failure = error
            return await self._retry(call, failure)
        except RetabError as error:
            _mark_in_doubt(error, call)
            raise

    async def _retry(self, call: Call, failure: RequestError) -> Response:
        throttle = self._attempts.throttle_of(call.request)

        def spend_budget(error: BaseException | None) -> bool:
            return throttle.budget.spend(is_throttled=is_throttled(error), is_cancel=call.request.is_cancel)

        async def attempt(number: int) -> Response:
            return await self._attempts.run(call, number)

        hooks = RetryHooks(throttle.retry_after_left, spend_budget)
        return await retry_after_failure(self._policy, call.deadline, failure, attempt, hooks)


class CleanupTransport(Transport):
    """Transport of the cleanup queue: sends each request once, and has no deadline but that of the throttle's turn.

    Args:
        pool: As for `Transport`, like the next four and `hooks`.
        settings: The client's settings.
        policy: Its retry policy, of which the transient statuses count.
        throttle: The throttle of its credential.
        slots: Its connection slots.
        turn_timeout: Seconds for which a send waits for its turn, which keeps a connection slot from others.
        hooks: Entered around each send.
    """

    def __init__(  # noqa: PLR0913 - those of a transport, and its own
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        slots: FifoSemaphore,
        *,
        turn_timeout: float,
        hooks: "HookSet | None" = None,
    ) -> None:
        super().__init__(pool, settings, policy, throttle, slots, hooks=hooks)
        self._turn_timeout = turn_timeout

    async def _send(self, request: Request, deadline: float | None, delivery: DeliveryState | None) -> Response:
        del deadline
        call = Call(request, inf, delivery or DeliveryState())
        try:
            return await self._attempts.run(call, 1, None, lambda: time.monotonic() + self._turn_timeout)
        except RetabError as error:
            _mark_in_doubt(error, call)
            raise


class BulkTransport(Transport):
    """Transport of one bulk job: sends through the job's limiter, and repeats what the server throttled.

    A 503 is repeated for `outage_timeout` seconds. The pause of a 429 may be longer, up to five minutes: a bulk job is
    near its limit at all times.

    Args:
        pool: As for `Transport`, like the next three and `hooks`.
        settings: The client's settings.
        policy: Its retry policy.
        throttle: The throttle of its credential.
        limiter: Limits the sends of the job.
        outage_timeout: Seconds for which the server may answer nothing but 503s.
        is_suspended: Whether sends that had to wait for their turn are suppressed now, with `SendSuppressedError`.
        hooks: Entered around each send.
    """

    def __init__(  # noqa: PLR0913 - those of a transport, and its own
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        *,
        limiter: BulkLimiter,
        outage_timeout: float,
        is_suspended: Callable[[], bool],
        hooks: "HookSet | None" = None,
    ) -> None:
        super().__init__(pool, settings, policy, throttle, hooks=hooks)
        self._limiter = limiter
        self._outage_timeout = outage_timeout
        self._max_retry_after = max(outage_timeout, _MAX_BULK_PAUSE)
        self._is_suspended = is_suspended
        self._unavailable_since: float | None = None

    def deadline(self, extra: float = 0.0) -> float:  # noqa: ARG002 - the signature of any transport
        """Return `inf`: the job decides when a cancel is given up."""
        return inf

    async def _observe(
        self, hooks: "HookSet", request: Request, deadline: float | None, delivery: DeliveryState
    ) -> Response:
        # Hooks see neither the wait for a turn in the job nor what is held back then.
        permit = self._limiter.try_acquire() or await self._acquire()
        send = partial(self._send, request, deadline, delivery, permit)
        return await hooks.observe(request, self.base_url, send, delivery)

    async def _send(
        self,
        request: Request,
        deadline: float | None,
        delivery: DeliveryState | None,
        permit: Permit | None = None,
    ) -> Response:
        """Send a request once, in its turn; repeat it, uncounted, while the server throttles and the outage lasts.

        Each send has the usual timeout. For requests without a body. Arguments and exceptions are those of
        `Transport.send`, after one attempt; without a deadline there is none. A `permit` is for the first send.
        """
        call = Call(request, inf if deadline is None else deadline, delivery or DeliveryState())
        while True:
            permit = permit or self._limiter.try_acquire() or await self._acquire()
            is_success = False
            try:
                response = await self._attempts.run(call, 1, permit, self._turn_deadline)
            except RequestError as error:
                if (
                    is_throttled(error)
                    or is_congestion(error)
                    or (isinstance(error, APIConnectionError) and error.attempts)
                ):
                    permit.on_throttled()
                if not is_throttled(error) or self._should_give_up(error):
                    raise
                log_retry(error, 1, self._policy.attempts, self._throttle.retry_after_left(), _UNCOUNTED)
            else:
                self._unavailable_since = None
                is_success = True
                return response
            finally:
                permit.release(is_success=is_success)
            permit = None

    async def _acquire(self) -> Permit:
        permit = await self._limiter.acquire()
        if self._is_suspended():
            permit.release(is_success=False)
            raise SendSuppressedError
        return permit

    def _turn_deadline(self) -> float:
        if self._unavailable_since is not None:
            return self._unavailable_since + self._outage_timeout
        throttle = self._throttle
        if not throttle.is_unthrottled and throttle.full_retry_after_left() > self._max_retry_after:
            # The turn of a probe may come sooner, but is not worth the wait.
            return -inf
        # A given limit may have a longer period: waiting for it is no outage.
        return time.monotonic() + self._max_retry_after if throttle.given is None else inf

    def _should_give_up(self, failure: APIError) -> bool:
        wait = retry_after_of(failure)
        if failure.status_code == 429:
            # A server that enforces a limit is available, however long that takes.
            self._unavailable_since = None
            return wait > self._max_retry_after
        now = time.monotonic()
        self._unavailable_since = self._unavailable_since or now
        return now + wait - self._unavailable_since > self._outage_timeout


# Sends a request over the transport, when and as often as it decides to.
SendGuard: TypeAlias = Callable[[Transport, Request, DeliveryState], Coroutine[Any, Any, Response]]


class GuardedTransport(Transport):
    """Transport of a job whose sends pass through a guard, which may hold them back and repeat them.

    Args:
        pool: As for `Transport`, like the next three.
        settings: The client's settings.
        policy: Its retry policy.
        throttle: The throttle of its credential.
        guard: Sends each request.
        plain: The transport that the guard sends over.
    """

    def __init__(  # noqa: PLR0913 - those of a transport, and its own
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        *,
        guard: SendGuard,
        plain: Transport,
    ) -> None:
        super().__init__(pool, settings, policy, throttle, hooks=plain.hooks)
        self._guard = guard
        self._plain = plain

    def send(
        self, request: Request, deadline: float | None = None, delivery: DeliveryState | None = None
    ) -> Coroutine[Any, Any, Response]:
        """Send a request through the guard, with a new deadline each time that it is sent.

        Arguments and exceptions are those of `Transport.send`, and those of the guard.
        """
        del deadline
        return self._guard(self._plain, request, delivery or DeliveryState())


def _mark_in_doubt(error: RetabError, call: Call) -> None:
    if call.request.method == "GET" or not call.delivery.may_have_taken_effect:
        return
    error.in_doubt, error.idempotency_key = True, (key := call.request.idempotency_key)
    if key is not None and not isinstance(error, RequestError):
        error.add_note(f"it may have been done: repeat it with idempotency_key={key!r}")
