"""Blocks that end when the process is asked to terminate, as by Kubernetes, systemd and `docker stop`."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

from retab_async.abort import AbortScope
from retab_async.errors import TerminatedError


@asynccontextmanager
async def until_signal(*signals: int, call_previous: bool = True) -> AsyncIterator[None]:
    """End the block with a `TerminatedError` when the process receives a signal, so that its runs are cancelled.

    `asyncio.run` does so for Ctrl-C, but leaves SIGTERM its default effect: the process ends at once, and its runs
    stay active. Open the block outside of the client's, which sends the pending cancels when it is closed::

        async with until_signal(), AsyncRetab() as client:
            ...

    A signal ends all open blocks of the process, and those that are entered while one of them is still open; further
    ones do not interrupt their cleanup. A cancellation of the task at the same time takes precedence. The block that is
    left last restores the previous handler. A signal that is ignored, as SIGHUP is under `nohup`, stays ignored.

    It is not for the lifespan of a web app, whose client it would close before the handlers that use it:
    `TerminationMiddleware` of `retab_async.integrations.asgi` ends the requests instead.

    Args:
        signals: The signals; by default SIGTERM.
        call_previous: Whether the previous handler, such as that of a web server, is called as well. That of SIGINT
            never is: it would raise `KeyboardInterrupt`. One set by `loop.add_signal_handler` always is.

    Raises:
        TerminatedError: One of the signals arrived.
        RuntimeError: This is not the main thread, to which Python delivers signals.
    """
    numbers = signals or (signal.SIGTERM,)
    async with AbortScope() as scope:

        def abort(number: int) -> None:
            scope.abort(TerminatedError(signal=number))

        with listening(numbers, abort, call_previous=call_previous):
            for number in numbers:
                if number in _dispatchers and _dispatchers[number].has_received:
                    raise TerminatedError(signal=number)
            yield


@contextmanager
def listening(
    signals: Iterable[int], on_signal: Callable[[int], None], *, call_previous: bool = False
) -> Iterator[None]:
    """Call a function in the running event loop whenever one of the signals arrives; see `until_signal`."""
    if threading.current_thread() is not threading.main_thread():
        msg = "signals arrive in the main thread only: open this block there"
        raise RuntimeError(msg)
    loop = asyncio.get_running_loop()
    listener = _Listener(loop, on_signal, call_previous=call_previous)
    with ExitStack() as stack:
        stack.callback(listener.close)
        for number in dict.fromkeys(signals):
            if signal.getsignal(number) is not signal.SIG_IGN:
                stack.enter_context(_dispatchers.setdefault(number, _Dispatcher(number)).passing_to(listener))
        yield


class _Listener:
    """Passes signals, which interrupt the main thread anywhere, to a function in its event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], None], *, call_previous: bool
    ) -> None:
        self.loop = loop
        self.calls_previous = call_previous
        self._on_signal = on_signal
        self._is_open = True

    def __call__(self, number: int) -> None:
        self.loop.call_soon_threadsafe(self._call, number)

    def _call(self, number: int) -> None:
        if self._is_open:
            self._on_signal(number)

    def close(self) -> None:
        self._is_open = False


class _Dispatcher:
    """Handler of one signal while anything listens to it; then the previous handler is restored.

    Blocks of concurrent tasks close in any order, so that none of them could restore what it found.

    Attributes:
        has_received: Whether the signal arrived since the first of the present listeners.
    """

    def __init__(self, number: int) -> None:
        self.has_received: bool = False
        self._number = number
        self._listeners: list[_Listener] = []
        self._previous: Any = None
        self._installed = ExitStack()
        self._pid = 0

    @contextmanager
    def passing_to(self, listener: _Listener) -> Iterator[None]:
        """Call a listener for each signal inside the block."""
        if not self._listeners:
            self._pid = os.getpid()
            self._installed.enter_context(_waking(listener.loop))
            self._installed.callback(self._restore)
        # A server may set its own handler after the first block, such as that of the lifespan.
        if signal.getsignal(self._number) != self._dispatch:
            self._previous = signal.signal(self._number, self._dispatch)
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
            if not self._listeners:
                self._installed.close()

    def _restore(self) -> None:
        self.has_received = False
        signal.signal(self._number, self._previous)

    def _dispatch(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            # A forked process has no event loop, and must end: a process pool waits for it.
            signal.signal(number, self._previous)
            signal.raise_signal(number)
            return
        self.has_received = True
        listeners = tuple(self._listeners)
        for listener in listeners:
            listener(number)
        is_wanted = number != signal.SIGINT and any(listener.calls_previous for listener in listeners)
        if is_wanted and callable(self._previous):
            self._previous(number, frame)


@contextmanager
def _waking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let signals wake up the loop: one that arrives right before it sleeps is otherwise handled when it wakes up."""
    present = signal.set_wakeup_fd(-1)
    if present != -1:
        # uvloop, Windows and `loop.add_signal_handler` set one.
        signal.set_wakeup_fd(present)
        yield
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        loop.add_reader(reader, reader.recv, 4096)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            current = signal.set_wakeup_fd(-1)
            if current != writer.fileno():
                signal.set_wakeup_fd(current)
            loop.remove_reader(reader)


_dispatchers: dict[int, _Dispatcher] = {}
