"""Signals that end a command: SIGTERM and SIGHUP act like Ctrl-C, which lets a bulk job finish its requests."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

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
