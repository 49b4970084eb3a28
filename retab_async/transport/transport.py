"""Sends a `Request` over the pool, as often as it takes."""

import time
from collections.abc import Callable
from functools import partial
from math import inf

from retab_async.errors import APIConnectionError, APIError, RequestError, RetabError
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.retry import RetryHooks, RetryPolicy, is_throttled, is_transient, retry_after_failure
from retab_async.settings import Settings
from retab_async.throttle import BulkLimiter, FifoSemaphore, Permit, RateLimit, Throttle
from retab_async.transport.attempt import AttemptRunner
from retab_async.transport.session import ConnectionPool

_LONGEST_PAUSE = 300.0


class SendSuppressedError(Exception):
    """A send whose turn came when nothing was to be sent any more; it never went."""


class Transport:
    """Sends requests over a pool for one client: its credential, its outage_timeout, its way there, its pace."""

    def __init__(
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        slots: FifoSemaphore | None = None,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._policy = policy
        self._throttle = throttle
        self._attempts = AttemptRunner(pool, settings, min(settings.timeout, policy.deadline), throttle, slots)

    @property
    def base_url(self) -> str:
        """The base URL of the API, without a slash at its end."""
        return self._settings.base_url

    @property
    def policy(self) -> RetryPolicy:
        """How its calls are tried again."""
        return self._policy

    @property
    def last_latency(self) -> float | None:
        """How many seconds the last success took, None before the first."""
        return self._throttle.last_latency

    def with_timeout(self, *, timeout: float, policy: RetryPolicy, slots: FifoSemaphore | None = None) -> "Transport":
        """Return one on the same pool and with the same credential that gives up sooner.

        With `places` of its own it neither waits for a connection until others have done with theirs, nor stands behind
        them for its turn in the pace.
        """
        settings = self._settings._replace(timeout=min(timeout, self._settings.timeout))
        return Transport(self._pool, settings, policy, self._throttle, slots)

    def for_bulk(
        self,
        max_in_flight: int,
        rate_limit: RateLimit | None = None,
        *,
        outage_timeout: float = inf,
        is_suspended: Callable[[], bool] = lambda: False,
    ) -> "BulkTransport":
        """Return one for bulk work on the same pool, with the same credential and in the same pace."""
        return BulkTransport(
            self._pool,
            self._settings,
            self._policy,
            self._throttle,
            limiter=BulkLimiter(self._throttle, max_in_flight, rate_limit),
            outage_timeout=outage_timeout,
            is_suspended=is_suspended,
        )

    def deadline(self, extra: float = 0.0) -> float:
        """Return when a call that begins now must be over, in `time.monotonic()`; `extra` as in `Request`."""
        return time.monotonic() + self._policy.deadline + extra

    async def send(
        self, request: Request, deadline: float | None = None, delivery: DeliveryState | None = None
    ) -> Response:
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
        if deadline is None:
            deadline = self.deadline(request.extra_seconds)
        delivery = delivery or DeliveryState()
        try:
            try:
                return await self._attempts.run(request, 1, deadline, delivery)
            except RequestError as error:
                if not is_transient(error):
                    raise
                failure = error
            return await self._send_again(request, deadline, delivery, failure)
        except RetabError as error:
            if request.method != "GET" and delivery.may_have_taken_effect:
                _mark_in_doubt(error, request.idempotency_key)
            raise

    async def _send_again(
        self, request: Request, deadline: float, delivery: DeliveryState, failure: RequestError
    ) -> Response:
        throttle = self._attempts.throttle_of(request)

        def allows(error: BaseException | None) -> bool:
            return throttle.budget.spend(is_throttled=is_throttled(error), is_cancel=request.is_cancel)

        attempt = partial(self._attempts.run, request, deadline=deadline, delivery=delivery)
        return await retry_after_failure(
            self._policy, deadline, failure, attempt, RetryHooks(throttle.retry_after_left, allows)
        )


class BulkTransport(Transport):
    """A transport for one job of bulk work, which goes by a lane of its own.

    `outage_timeout`: the seconds for which 503s may be all that it hears. The pause of a 429 may be longer, up to five
    minutes: it is that of a limit, to which bulk work is near at all times. While it `holds_back`, whoever had to wait
    for their turn is not sent: `HeldBackError`.
    """

    def __init__(  # noqa: PLR0913 - what a transport is made of, and what is its own
        self,
        pool: ConnectionPool,
        settings: Settings,
        policy: RetryPolicy,
        throttle: Throttle,
        *,
        limiter: BulkLimiter,
        outage_timeout: float,
        is_suspended: Callable[[], bool],
    ) -> None:
        super().__init__(pool, settings, policy, throttle)
        self._limiter = limiter
        self._outage_timeout = outage_timeout
        self._longest_pause = max(outage_timeout, _LONGEST_PAUSE)
        self._is_suspended = is_suspended
        self._away_since: float | None = None

    def deadline(self, extra: float = 0.0) -> float:  # noqa: ARG002 - as of any transport
        """Return that a call is over when it is: `inf`."""
        return inf

    async def send(
        self, request: Request, deadline: float | None = None, delivery: DeliveryState | None = None
    ) -> Response:
        """Send a request once, in its turn; repeat it, uncounted, while the server throttles and the outage lasts.

        Each send has the usual timeout. For requests without a body. Arguments and exceptions are those of
        `Transport.send`, after one attempt; without a deadline there is none.
        """
        deadline = inf if deadline is None else deadline
        delivery = delivery or DeliveryState()
        while True:
            permit = self._limiter.try_acquire() or await self._acquire()
            is_success = False
            try:
                response = await self._attempts.run(request, 1, deadline, delivery, permit, self._latest_turn)
            except RequestError as error:
                if is_throttled(error) or (isinstance(error, APIConnectionError) and error.attempts):
                    permit.on_throttled()
                if not is_throttled(error) or self._should_give_up(error):
                    raise
            else:
                self._away_since = None
                is_success = True
                return response
            finally:
                permit.release(is_success=is_success)

    async def _acquire(self) -> Permit:
        passage = await self._limiter.acquire()
        if self._is_suspended():
            passage.release(is_success=False)
            raise SendSuppressedError
        return passage

    def _latest_turn(self) -> float:
        return (
            time.monotonic() + self._longest_pause
            if self._away_since is None
            else self._away_since + self._outage_timeout
        )

    def _should_give_up(self, refusal: APIError) -> bool:
        told = refusal.retry_after or 0.0
        if refusal.status_code == 429:
            # Whoever keeps to a limit is there, however long it takes.
            self._away_since = None
            return told > self._longest_pause
        now = time.monotonic()
        self._away_since = self._away_since or now
        return now + told - self._away_since > self._outage_timeout


def _mark_in_doubt(error: RetabError, key: str | None) -> None:
    error.in_doubt, error.idempotency_key = True, key
    if key is not None and not isinstance(error, RequestError):
        error.add_note(f"it may have been done: repeat it with idempotency_key={key!r}")
