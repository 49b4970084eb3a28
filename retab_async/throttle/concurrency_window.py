"""How many requests of bulk work may be in flight, learned from refusals."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retab_async.throttle.bulk_limiter import BulkLimiter


_START = 8
_DECREASE = 0.7


class AimdWindow:
    """A limit that grows by one with each success until the first refusal, and after it by one a round trip.

    A refusal or a lost connection takes three tenths of it, once for all that were in flight together; `cuts` counts
    how often that was.
    """

    def __init__(self) -> None:
        self.limit = _START
        self.in_flight = 0
        self.epoch = 0
        # Those on which somebody waits.
        self.waiting: set[BulkLimiter] = set()
        self._exact = float(_START)

    def wake(self) -> None:
        """Have those who wait for room look again, as many as there is room for."""
        room = max(0, self.limit - self.in_flight)
        for lane in self.waiting:
            lane.wake(room)

    def increase(self, max_in_flight: int) -> None:
        """Take note of a success of one who would allow itself `most`, beyond which nothing is learned."""
        self._exact = min(self._exact + (1 / self._exact if self.epoch else 1), max_in_flight)
        self.limit = int(self._exact)

    def decrease(self, epoch: int) -> None:
        """Take note that something came to nothing which was sent when there had been so many `cuts`."""
        if epoch == self.epoch:
            self.epoch += 1
            self._exact = max(1.0, self._exact * _DECREASE)
            self.limit = int(self._exact)
