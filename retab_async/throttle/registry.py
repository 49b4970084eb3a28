"""Throttles by credential: the copies of a client share the throttle of a key."""

import asyncio
from weakref import WeakValueDictionary

import attrs

from retab_async.errors import ConfigurationError
from retab_async.settings import Credential
from retab_async.throttle.rate_limit import LocalLimiter, RateLimit
from retab_async.throttle.shared_limiter import SharedLimiter
from retab_async.throttle.slots import SharedRateLimit
from retab_async.throttle.throttle import Throttle


@attrs.frozen(kw_only=True)
class Totals:
    """Statistics of a client and all its copies, over all credentials that are in use.

    Attributes:
        credentials: Credentials that a client or copy holds, or that the API has asked to pause.
        in_flight: Requests sent and not answered yet.
        sent: Requests sent.
        throttled: Responses with status 429.
    """

    credentials: int
    in_flight: int
    sent: int
    throttled: int


def check_rate_limit(value: RateLimit | SharedRateLimit | None) -> RateLimit | SharedRateLimit | None:
    """Return the rate limit of a client, or raise `ConfigurationError`."""
    if value is not None and not isinstance(value, RateLimit | SharedRateLimit):
        msg = f"rate_limit must be a RateLimit, as RateLimit(300, per=60), or a shared one, not {value!r:.200}"
        raise ConfigurationError(msg)
    return value


class _KeptThrottle(Throttle):
    """Throttle that its registry keeps during a pause or while requests count, though all its clients are gone."""

    def __init__(self, kept: "set[Throttle]", rate_limit: RateLimit | SharedRateLimit | None, fingerprint: str) -> None:
        super().__init__(rate_limit=rate_limit, fingerprint=fingerprint)
        self._kept = kept

    def _on_given_sent(self, given: LocalLimiter | SharedLimiter) -> None:
        self._kept.add(self)
        super()._on_given_sent(given)

    def on_throttled(self, sent: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        super().on_throttled(sent, retry_after, is_rate_limited=is_rate_limited)
        self._kept.add(self)


class ThrottleRegistry:
    """Registry of a throttle and its retry budget for each credential, alive as long as its users or its pause.

    Args:
        rate_limit: The limit of each credential, None to learn it.
    """

    def __init__(self, rate_limit: RateLimit | SharedRateLimit | None = None) -> None:
        self._rate_limit = rate_limit
        self._throttles: WeakValueDictionary[Credential, Throttle] = WeakValueDictionary()
        self._kept: set[Throttle] = set()

    def get(self, credential: Credential) -> Throttle:
        """Return the throttle of a credential."""
        self._release()
        throttle = self._throttles.get(credential)
        if throttle is None:
            throttle = self._throttles[credential] = _KeptThrottle(
                self._kept, self._rate_limit, credential.fingerprint if self._rate_limit is not None else ""
            )
        return throttle

    @property
    def is_shared(self) -> bool:
        """Whether the limit is shared with other processes."""
        return isinstance(self._rate_limit, SharedRateLimit)

    def totals(self) -> Totals:
        """Return the sums over all throttles."""
        throttles = list(self._throttles.values())
        return Totals(
            credentials=len(throttles),
            in_flight=sum(each.in_flight for each in throttles),
            sent=sum(each.sent for each in throttles),
            throttled=sum(each.throttled for each in throttles),
        )

    async def aclose(self) -> None:
        """Report what the stores of a shared limit do not know yet, and close them; half a second at most for all."""
        self._kept.clear()
        limiters = [each.given for each in self._throttles.values() if each.given is not None]
        await asyncio.gather(*(limiter.aclose() for limiter in limiters))

    def _release(self) -> None:
        self._kept -= {each for each in self._kept if not each.is_kept()}
