"""Signals that end a command: SIGTERM and SIGHUP act like Ctrl-C, which lets a bulk job finish its requests."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Any, Self

import click

from retab_async.bulk import CancelJob
from retab_async.signals import listening

# Seconds for the requests in flight to finish.
_GRACE_PERIOD = 10.0
# Seconds between two checks for requests in flight.
_CHECK_INTERVAL = 0.1


# Windows has no SIGHUP.
TERMINATION: tuple[int, ...] = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class TerminationSignals:
    """Forwards SIGTERM and SIGHUP as SIGINT where a command does not listen to them itself, so that it ends in order.

    A signal that is ignored, as SIGHUP is under `nohup`, stays ignored.

    Attributes:
        received: The number of the last signal that was forwarded, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in TERMINATION:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._forward)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def exit_code(self, code: int) -> int:
        """Return the exit code of a command: that of the signal, as shells count it, if the signal ended it."""
        return 128 + self.received if code and self.received else code

    def _forward(self, number: int, _: FrameType | None) -> None:
        self.received = number
        # Scripts start background jobs with SIGINT ignored: nothing would handle it then.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)


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
