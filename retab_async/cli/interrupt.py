"""Graceful shutdown of a bulk job on Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click

from retab_async.bulk import CancelJob

# Seconds for the requests in flight to finish.
_GRACE_PERIOD = 10.0
# Seconds between two checks for requests in flight.
_CHECK_INTERVAL = 0.1


class GracefulInterrupt:
    """Graceful shutdown of a job: the first Ctrl-C lets the requests in flight finish, the second ends it at once.

    Ids that wait to be sent, or sent again, are left without an outcome.

    Attributes:
        is_requested: Whether Ctrl-C was pressed.
        print_line: Prints a line beside the progress display.
    """

    _timer: asyncio.TimerHandle

    def __init__(self, job: CancelJob[Any], in_flight: Callable[[], int]) -> None:
        self.is_requested: bool = False
        self.print_line: Callable[[str], None] = click.echo
        self._job = job
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._deadline = 0.0
        self._was_idle = False
        self._previous_handler: Any = None

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._previous_handler = signal.signal(signal.SIGINT, self._on_signal)
        # From the start: a signal that arrives right before the loop sleeps is handled only when the loop wakes up.
        self._check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        signal.signal(signal.SIGINT, self._previous_handler)
        self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            # This limit's own: a TimeoutError of the body is not raised here but propagates.
            return True
        return False

    def _on_signal(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self.is_requested:
            # A third Ctrl-C must have its usual effect, in case the exit of the block hangs.
            signal.signal(signal.SIGINT, self._previous_handler)
            self._deadline = 0.0
            return
        self.is_requested = True
        self._deadline = self._loop.time() + _GRACE_PERIOD
        self.print_line("finishing the requests in flight; press Ctrl-C again to stop at once")
        self._was_idle = False
        self._job.stop()

    def _check(self) -> None:
        is_idle = not self._in_flight()
        if self.is_requested and ((is_idle and self._was_idle) or self._loop.time() >= self._deadline):
            self._limit.reschedule(self._loop.time())
        else:
            self._was_idle = is_idle
            self._timer = self._loop.call_later(_CHECK_INTERVAL, self._check)
