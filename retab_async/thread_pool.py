"""Thread pools for blocking calls: separate from the loop's default executor, and no obstacle to the program's exit."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from threading import Lock, Thread
from typing import Any, Generic, TypeVar, cast

_T = TypeVar("_T")


class DaemonThreadPool:
    """Daemon threads that run blocking calls: at most `max_threads`, each of which exits when the queue is empty.

    A thread whose call was cancelled is replaced, because it may never return: a dead file system blocks for ever.

    Args:
        max_threads: The most threads at once.
        name: Name of the threads, after `retab_async`.
    """

    def __init__(self, max_threads: float, name: str = "documents") -> None:
        self._max_threads = max_threads
        self._name = f"retab_async {name}"
        self._size = 0
        self._queue: deque[_Call[Any]] = deque()
        self._lock = Lock()

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Return what a function returns in one of the threads; on cancellation, a running call is abandoned."""
        call = _Call(asyncio.get_running_loop(), partial(function, *args))
        try:
            self._submit(call)
            await call.is_finished
        finally:
            self._abandon(call)
        return call.outcome()

    def _submit(self, call: "_Call[Any]") -> None:
        with self._lock:
            self._queue.append(call)
        self._start_thread()

    def _abandon(self, call: "_Call[Any]") -> None:
        with self._lock:
            was_running = call.state is _State.RUNNING
            call.state = _State.ABANDONED
            if was_running:
                self._size -= 1
            is_needed = was_running and bool(self._queue)
        if is_needed:
            # A system without threads to spare: the queue waits for the next call.
            with suppress(RuntimeError):
                self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._size >= self._max_threads:
                return
            self._size += 1
        try:
            Thread(target=self._work, name=self._name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._size -= 1
            raise

    def _work(self) -> None:
        while (call := self._next_call()) is not None:
            call.run()
            with self._lock:
                if call.state is _State.ABANDONED:
                    # Another thread has taken the place of this one.
                    return
                call.state = _State.DONE
            call.notify()

    def _next_call(self) -> "_Call[Any] | None":
        with self._lock:
            while self._queue:
                call = self._queue.popleft()
                if call.state is _State.QUEUED:
                    call.state = _State.RUNNING
                    return call
            self._size -= 1
            return None


class _State(Enum):
    QUEUED = auto()
    RUNNING = auto()
    DONE = auto()
    ABANDONED = auto()


class _Call(Generic[_T]):
    """One call and its outcome, which asyncio's debug log must not show: it may be the bytes of a document."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], _T]) -> None:
        self.state = _State.QUEUED
        # A signal without a value: a future shows its result in its repr, and accepts no StopIteration.
        self.is_finished: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._function = function
        self._value: _T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by `outcome`, in the caller's task
            self._error = error

    def notify(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.is_finished.done():
            self.is_finished.set_result(None)

    def outcome(self) -> _T:
        error, self._error = self._error, None
        if error is None:
            return cast("_T", self._value)
        try:
            raise error
        finally:
            # Otherwise the error's traceback would refer to this frame, and the frame to the error.
            del error


# For files on disk: quick calls, of which thousands may wait at once.
FILE_POOL = DaemonThreadPool(32)
# For file objects of the caller's, any of which may block for ever.
USER_FILE_POOL = DaemonThreadPool(math.inf)
