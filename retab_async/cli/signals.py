"""Signals that end a command: SIGTERM and SIGHUP act like Ctrl-C, which lets a bulk job finish its requests."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import click

from retab_async.bulk import CancelJob

# Seconds for the requests in flight to finish.
_GRACE_PERIOD = 10.0
# Seconds between two checks for requests in flight.
_CHECK_INTERVAL = 0.1


# Windows has no SIGHUP.
_FORWARDED = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class TerminationSignals:
    """Forwards SIGTERM and SIGHUP as SIGINT, so that one mechanism ends a command in order.

    A signal that is ignored, as SIGHUP is under `nohup`, stays ignored.

    Attributes:
        received: The number of the last signal that was forwarded, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _FORWARDED:
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
    """Graceful shutdown of a job: the first Ctrl-C lets the requests in flight finish, the second ends it at once.

    Ids that wait to be sent, or sent again, are left without an outcome.

    Attributes:
        is_requested: Whether Ctrl-C was pressed.
        print_line: Prints a line beside the progress display.
    """

    _timer: asyncio.TimerHandle

    def __init__(self, job: CancelJob[Any], in_flight: Callable[[], int]) -> None:
        self.is_requested = False
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
