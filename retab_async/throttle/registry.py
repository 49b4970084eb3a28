"""Throttles by credential: the copies of a client share the throttle of a key."""

from collections.abc import Hashable
from typing import NoReturn
from weakref import WeakValueDictionary

import attrs

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


class _KeptThrottle(Throttle):
    """Throttle that its registry keeps alive during a pause, though every client with the credential is gone."""

    def __init__(self, kept: "set[Throttle]") -> None:
        super().__init__()
        self._kept = kept

    def on_throttled(self, sent: float, retry_after: float | None, *, is_rate_limited: bool) -> None:
        super().on_throttled(sent, retry_after, is_rate_limited=is_rate_limited)
        self._kept.add(self)


class ThrottleRegistry:
    """Registry of a throttle and its retry budget for each credential, alive as long as its users or its pause."""

    def __init__(self) -> None:
        self._throttles: WeakValueDictionary[Hashable, Throttle] = WeakValueDictionary()
        self._kept: set[Throttle] = set()

    def __reduce__(self) -> NoReturn:
        msg = "a client belongs to its process and cannot be pickled: make one in each process"
        raise TypeError(msg)

    def get(self, credential: Hashable) -> Throttle:
        """Return the throttle of a credential."""
        self._release()
        throttle = self._throttles.get(credential)
        if throttle is None:
            throttle = self._throttles[credential] = _KeptThrottle(self._kept)
        return throttle

    def totals(self) -> Totals:
        """Return the sums over all throttles."""
        throttles = list(self._throttles.values())
        return Totals(
            credentials=len(throttles),
            in_flight=sum(each.in_flight for each in throttles),
            sent=sum(each.sent for each in throttles),
            throttled=sum(each.throttled for each in throttles),
        )

    def _release(self) -> None:
        self._kept -= {each for each in self._kept if not each.retry_after_left()}
