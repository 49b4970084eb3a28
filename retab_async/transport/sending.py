"""Sends a `Request` over the pool, as often as it takes."""

import time
from collections.abc import Callable
from functools import partial
from math import inf

from retab_async.errors import APIConnectionError, APIError, CallError, RetabError
from retab_async.pacing import Lane, Pace, Passage, Places, RateLimit
from retab_async.protocol import Request, Response, Trail
from retab_async.retrying import Restraint, RetryPolicy, asks_for_less, is_transient, try_again
from retab_async.settings import Settings
from retab_async.transport.attempts import Attempts
from retab_async.transport.pool import Pool

_LONGEST_PAUSE = 300.0


class HeldBackError(Exception):
    """A send whose turn came when nothing was to be sent any more; it never went."""


class Transport:
    """Sends requests over a pool for one client: its credential, its patience, its way there, its pace."""

    def __init__(
        self, pool: Pool, settings: Settings, policy: RetryPolicy, pace: Pace, places: Places | None = None
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._policy = policy
        self._pace = pace
        self._attempts = Attempts(pool, settings, min(settings.timeout, policy.deadline), pace, places)

    @property
    def address(self) -> str:
        """The base URL of the API, without a slash at its end."""
        return self._settings.base_url

    @property
    def policy(self) -> RetryPolicy:
        """How its calls are tried again."""
        return self._policy

    @property
    def took(self) -> float | None:
        """How many seconds the last success took, None before the first."""
        return self._pace.took

    def hastened(self, *, timeout: float, policy: RetryPolicy, places: Places | None = None) -> "Transport":
        """Return one on the same pool and with the same credential that gives up sooner.

        With `places` of its own it neither waits for a connection until others have done with theirs, nor stands behind
        them for its turn in the pace.
        """
        settings = self._settings._replace(timeout=min(timeout, self._settings.timeout))
        return Transport(self._pool, settings, policy, self._pace, places)

    def patient(
        self,
        at_once: int,
        rate_limit: RateLimit | None = None,
        *,
        patience: float = inf,
        holds_back: Callable[[], bool] = lambda: False,
    ) -> "PatientTransport":
        """Return one for bulk work on the same pool, with the same credential and in the same pace."""
        return PatientTransport(
            self._pool,
            self._settings,
            self._policy,
            self._pace,
            lane=Lane(self._pace, at_once, rate_limit),
            patience=patience,
            holds_back=holds_back,
        )

    def ends(self, extra: float = 0.0) -> float:
        """Return when a call that begins now must be over, in `time.monotonic()`; `extra` as in `Request`."""
        return time.monotonic() + self._policy.deadline + extra

    async def send(self, request: Request, ends: float, trail: Trail | None = None) -> Response:
        """Send a request until it is answered with a 2xx, as often as the policy allows and until `ends`.

        `trail` tells, also where this is cancelled, whether the request may have taken effect.

        Raises `APIError` for any other answer, `APIConnectionError` for none, `ResponseError` for one over its cap.
        """
        trail = trail or Trail()
        try:
            try:
                return await self._attempts.make(request, 1, ends, trail)
            except CallError as error:
                if not is_transient(error):
                    raise
                failure = error
            return await self._send_again(request, ends, trail, failure)
        except RetabError as error:
            if request.method != "GET" and trail.may_have_happened:
                _say_doubt(error, request.idempotency_key)
            raise

    async def _send_again(self, request: Request, ends: float, trail: Trail, failure: CallError) -> Response:
        pace = self._attempts.pace_of(request)

        def allows(error: BaseException | None) -> bool:
            return pace.budget.spend(is_throttled=asks_for_less(error), is_cancel=request.is_cancel)

        attempt = partial(self._attempts.make, request, ends=ends, trail=trail)
        return await try_again(self._policy, ends, failure, attempt, Restraint(pace.pause, allows))


class PatientTransport(Transport):
    """A transport for one job of bulk work, which goes by a lane of its own.

    `patience`: the seconds for which 503s may be all that it hears. The pause of a 429 may be longer, up to five
    minutes: it is that of a limit, to which bulk work is near at all times. While it `holds_back`, whoever had to wait
    for their turn is not sent: `HeldBackError`.
    """

    def __init__(  # noqa: PLR0913 - what a transport is made of, and what is its own
        self,
        pool: Pool,
        settings: Settings,
        policy: RetryPolicy,
        pace: Pace,
        *,
        lane: Lane,
        patience: float,
        holds_back: Callable[[], bool],
    ) -> None:
        super().__init__(pool, settings, policy, pace)
        self._lane = lane
        self._patience = patience
        self._longest_pause = max(patience, _LONGEST_PAUSE)
        self._holds_back = holds_back
        self._away_since: float | None = None

    def ends(self, extra: float = 0.0) -> float:  # noqa: ARG002 - as of any transport
        """Return that a call is over when it is: `inf`."""
        return inf

    async def send(self, request: Request, ends: float = inf, trail: Trail | None = None) -> Response:
        """Send a request once, in its turn; again, uncounted, as often as it is refused for pace and patience lasts.

        Each send has the usual timeout, and is over at `ends`. For requests without a body. Raises as the `send` of any
        transport, after that one attempt.
        """
        trail = trail or Trail()
        while True:
            passage = self._lane.pass_freely() or await self._enter()
            is_success = False
            try:
                response = await self._attempts.make(request, 1, ends, trail, passage, self._latest_turn)
            except CallError as error:
                if asks_for_less(error) or (isinstance(error, APIConnectionError) and error.attempts):
                    passage.was_turned_away()
                if not asks_for_less(error) or self._is_enough(error):
                    raise
            else:
                self._away_since = None
                is_success = True
                return response
            finally:
                passage.end(is_success=is_success)

    async def _enter(self) -> Passage:
        passage = await self._lane.enter()
        if self._holds_back():
            passage.end(is_success=False)
            raise HeldBackError
        return passage

    def _latest_turn(self) -> float:
        return time.monotonic() + self._longest_pause if self._away_since is None else self._away_since + self._patience

    def _is_enough(self, refusal: APIError) -> bool:
        told = refusal.retry_after or 0.0
        if refusal.status_code == 429:
            # Whoever keeps to a limit is there, however long it takes.
            self._away_since = None
            return told > self._longest_pause
        now = time.monotonic()
        self._away_since = self._away_since or now
        return now + told - self._away_since > self._patience


def _say_doubt(error: RetabError, key: str | None) -> None:
    error.in_doubt, error.idempotency_key = True, key
    if key is not None and not isinstance(error, CallError):
        error.add_note(f"it may have been done: repeat it with idempotency_key={key!r}")
