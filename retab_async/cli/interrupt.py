"""Graceful shutdown of a bulk job on Ctrl-C, SIGTERM and SIGHUP."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import click

from retab_async.bulk import CancelJob
from retab_async.cli.signals import TERMINATION
from retab_async.signals import listening

# Seconds for the requests in flight to finish.
_GRACE_PERIOD = 10.0
# Seconds between two checks for requests in flight.
_CHECK_INTERVAL = 0.1


class GracefulInterrupt:
    """Graceful shutdown of a job: the first signal lets the requests in flight finish, the second ends it at once.

    The signals are Ctrl-C, SIGTERM and SIGHUP. Ids that wait to be sent, or sent again, are left without an outcome.

    Attributes:
        received: The number of the first signal, None before it.
        print_line: Prints a line beside the progress display.
    """

    def __init__(self, job: CancelJob[Any], in_flight: Callable[[], int]) -> None:
        self.received: int | None = None
        self.print_line: Callable[[str], None] = click.echo
        self._job = job
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._deadline = 0.0
        self._was_idle = False
        self._listening = ExitStack()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._listening.enter_context(listening((signal.SIGINT, *TERMINATION), self._interrupt))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._listening.close()
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            # This limit's own: a TimeoutError of the body is not raised here but propagates.
            return True
        return False

    def _interrupt(self, number: int) -> None:
        if self.received is not None:
            # A third signal must have its usual effect, in case the exit of the block hangs.
            self._listening.close()
            self._deadline = 0.0
            return
        self.received = number
        self._deadline = self._loop.time() + _GRACE_PERIOD
        self.print_line("finishing the requests in flight; press Ctrl-C again to stop at once")
        self._job.stop()
        self._check()

    def _check(self) -> None:
        is_idle = not self._in_flight()
        if (is_idle and self._was_idle) or self._loop.time() >= self._deadline:
            self._limit.reschedule(self._loop.time())
        else:
            self._was_idle = is_idle
            self._timer = self._loop.call_later(_CHECK_INTERVAL, self._check)
