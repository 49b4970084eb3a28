"""Standard streams that survive every encoding, a full disk, a closed pipe and a lost terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TextIO, cast

import click


class OutputError(click.ClickException):
    """Stdout could not be written: what is printed to it is lost.

    Attributes:
        is_closed_pipe: Whether its reader has ended, as `head` does when it has enough: no error for a person.
    """

    is_closed_pipe = False

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error, unless it is a closed pipe."""
        if not self.is_closed_pipe:
            super().show(file)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Replace stdout and stderr: characters that their encoding lacks are escaped, failed writes are no traceback.

    A failed write to stdout raises `OutputError`; one to stderr is ignored, because there is no other place to report
    it. Afterwards both lead to the null device, so that the interpreter can flush them when it exits.
    """
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", _GuardedStdout(stdout))
    sys.stderr = cast("TextIO", _GuardedStream(stderr))
    try:
        with _escaping(stdout), _escaping(stderr):
            yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


@contextmanager
def _escaping(stream: TextIO | None) -> Iterator[None]:
    # Streams that tests put in place of a real one may have no encoding.
    reconfigure = getattr(stream, "reconfigure", None)
    if stream is None or reconfigure is None:
        yield
        return
    errors = stream.errors
    reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        reconfigure(errors=errors)


class _GuardedStream:
    """Text stream whose failed writes are ignored."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._is_closed_pipe = False
        self._failure = "it is closed" if stream is None else ""

    def write(self, text: str) -> int:
        self._call("write", text)
        return len(text)

    def flush(self) -> None:
        self._call("flush")

    def __getattr__(self, name: str) -> Any:
        # Without `buffer`, click writes to this object instead of the bytes below it.
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _call(self, method: str, *arguments: str) -> None:
        if not self._failure:
            try:
                getattr(self._stream, method)(*arguments)
            except OSError as error:
                self._is_closed_pipe = isinstance(error, BrokenPipeError)
                self._failure = error.strerror or str(error)
                self._discard()
        if self._failure:
            self._on_failure(self._failure)

    def _discard(self) -> None:
        # The text in its buffer would fail again when the interpreter exits.
        with suppress(OSError, ValueError), open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
            os.dup2(null.fileno(), cast("TextIO", self._stream).fileno())

    def _on_failure(self, reason: str) -> None:
        """Ignore it."""


class _GuardedStdout(_GuardedStream):
    """Text stream whose failed writes raise `OutputError`."""

    def _on_failure(self, reason: str) -> None:
        msg = f"stdout cannot be written: {reason}"
        error = OutputError(msg)
        error.is_closed_pipe = self._is_closed_pipe
        raise error
