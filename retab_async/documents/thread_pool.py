"""Calls that may block, in threads of our own: they hold up neither the loop's own threads nor the end of a program."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


class DaemonThreadPool:
    """Threads, so many at the most, each of which ends when there is nothing left to call."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._size = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = Lock()

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Return what a function returns in one of the threads; cancelled, leave a call that has begun to itself."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        try:
            self._take(lambda: _call(loop, future, function, args))
            value, error = await future
        finally:
            # Where no thread could be started, whoever comes to it later is to leave it.
            future.cancel()
        if error is None:
            returned: _T = value
            return returned
        try:
            raise error
        finally:
            # The error has this frame, which is not to have the error.
            del error

    def _take(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._calls.append(call)
            if self._size >= self._most:
                return
            self._size += 1
        try:
            # A daemon: nobody has to wait for one that never comes back.
            Thread(target=self._work, name="retab_async documents", daemon=True).start()
        except BaseException:
            with self._lock:
                self._size -= 1
            raise

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._size -= 1
                    return
                call = self._calls.popleft()
            call()


def _call(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[tuple[Any, BaseException | None]]",
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    if future.cancelled():
        return
    value, error = None, None
    try:
        value = function(*args)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, it is the caller's
        error = raised
    # Told as a value: a future takes no StopIteration, and complains of an error that nobody waits for any more.
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_settle, future, (value, error))
    del error


def _settle(future: "asyncio.Future[Any]", outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)


# For what is quick, and may be wanted by thousands at once: files on disk.
FILE_POOL = DaemonThreadPool(32)
# For objects of callers', any of which may never come back.
USER_FILE_POOL = DaemonThreadPool(math.inf)
