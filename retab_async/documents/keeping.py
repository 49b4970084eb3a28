"""The descriptor that the bytes of a document are read from, kept so that they are there whatever becomes of a path."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Semaphore

# How many are kept in the process; it needs as many more for its connections, and the least that systems allow is 256.
_ROOM = Semaphore(100)


class Keeping:
    """Keeps one descriptor for all reads of a document; once it is left, the last thread that reads closes it.

    Where there is no room to keep another one, each read has its own.
    """

    def __init__(self) -> None:
        self.is_left = False
        self._lock = Lock()
        self._seeking = Lock()
        self._kept: int | None = None
        self._has_room = False
        self._readers = 0

    @contextmanager
    def descriptor(self, get: Callable[[], int]) -> Iterator[int]:
        """Give the descriptor; `get` gives one where none is kept."""
        with self._lock:
            self._readers += 1
            number = self._kept
        try:
            if number is None:
                number = get()
                self._offer(number)
            yield number
        finally:
            with self._lock:
                self._readers -= 1
                if number is not None and number != self._kept:
                    _close(number)
                self._close_if_over()

    def read(self, number: int, start: int, count: int) -> bytes:
        """Return so many bytes, or what there is up to the end, without moving about in a file that others read too."""
        pieces = []
        while count > 0 and (piece := self._read_some(number, start, count)):
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return b"".join(pieces)

    def keep(self, number: int) -> None:
        """Keep a descriptor that cannot be had again, room or not."""
        with self._lock:
            self._kept = number
            self._close_if_over()

    def leave(self) -> None:
        """Close it, now or when the thread is back that reads from it; this waits for nobody."""
        with self._lock:
            self.is_left = True
            self._close_if_over()

    def _offer(self, number: int) -> None:
        with self._lock:
            if self._kept is None and not self.is_left and _ROOM.acquire(blocking=False):
                self._kept, self._has_room = number, True

    def _close_if_over(self) -> None:
        if self._kept is None or self._readers or not self.is_left:
            return
        _close(self._kept)
        self._kept = None
        if self._has_room:
            _ROOM.release()

    def _read_some(self, number: int, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(number, count, start)
        # On Windows. A call that was cancelled may have left a thread in here.
        with self._seeking:
            os.lseek(number, start, os.SEEK_SET)
            return os.read(number, count)


def _close(number: int) -> None:
    # It was for reading alone: nothing is lost.
    with suppress(OSError):
        os.close(number)
