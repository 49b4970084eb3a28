"""Ctrl-C while a job goes on."""

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click

from retab_async.bulk import CancelJob

# Seconds that what was taken has to come to its outcome.
_LONGEST = 10.0
# Seconds from look to look at whether anything is in flight.
_INTERVAL = 0.1


class GracefulInterrupt:
    """Makes Ctrl-C stop a job for as long as it is entered: what is in flight comes to its outcome.

    What waits instead to be sent, or sent again, does not: nothing is known of it. A second Ctrl-C ends the block at
    once. `is_made`: there was a first one. `say` is called with what there is to be said of it.
    """

    _timer: asyncio.TimerHandle

    def __init__(self, job: CancelJob[Any], in_flight: Callable[[], int]) -> None:
        self.is_made = False
        self.say: Callable[[str], None] = click.echo
        self._job = job
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._ends = 0.0
        self._was_idle = False
        self._before: Any = None

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._before = signal.signal(signal.SIGINT, self._hear)
        # From now on: a Ctrl-C in the very moment in which the loop falls asleep is heard only when it wakes.
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        signal.signal(signal.SIGINT, self._before)
        self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            # Its own: one from elsewhere is not raised there, it passes.
            return True
        return False

    def _hear(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self.is_made:
            # A third one is not to be lost, should even the end of the block hang.
            signal.signal(signal.SIGINT, self._before)
            self._ends = 0.0
            return
        self.is_made = True
        self._ends = self._loop.time() + _LONGEST
        self.say("finishing what is in flight; Ctrl-C again ends it at once")
        self._was_idle = False
        self._job.stop()

    def _look(self) -> None:
        is_idle = not self._in_flight()
        if self.is_made and ((is_idle and self._was_idle) or self._loop.time() >= self._ends):
            self._limit.reschedule(self._loop.time())
        else:
            self._was_idle = is_idle
            self._timer = self._loop.call_later(_INTERVAL, self._look)
