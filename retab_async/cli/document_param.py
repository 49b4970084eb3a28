"""FILE, as it is typed: a path, `-` for stdin, an https:// URL."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

import click

_NAMES = ("document", "documents")

_PIECE = 64 * 1024


class _Stdin:
    """Stands for stdin while nothing is read yet: what else is wrong with a command is told first."""


def file_argument() -> click.Argument:
    """Return `FILE`, the one document of a run."""
    return click.Argument(["document"], metavar="FILE", type=document_from)


def document_from(text: str) -> object:
    """Read FILE, of which one may be `-`."""
    if text != "-":
        return text
    if click.get_current_context().meta.setdefault(__name__, parsed := _Stdin()) is not parsed:
        msg = "stdin can be read only once: one FILE may be -"
        raise click.BadParameter(msg)
    return parsed


def takes_documents(parameters: Iterable[click.Parameter]) -> bool:
    """Return whether there is a FILE among the parameters."""
    return any(parameter.name in _NAMES for parameter in parameters)


@contextmanager
def documents_open(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the fields with what is on stdin for `-`; it is read to its end first, and can be interrupted."""
    with ExitStack() as copies:
        yield {name: _opened(told, copies) if name in _NAMES else told for name, told in fields.items()}


def _opened(told: Any, copies: ExitStack) -> Any:
    if isinstance(told, tuple):
        return tuple(_opened(each, copies) for each in told)
    if isinstance(told, Mapping):
        return {name: _opened(each, copies) for name, each in told.items()}
    return copies.enter_context(_copy_of_stdin()) if isinstance(told, _Stdin) else told


@contextmanager
def _copy_of_stdin() -> Iterator[IO[bytes]]:
    if sys.stdin is None:
        msg = "stdin is closed: there is nothing to read"
        raise click.UsageError(msg)
    with TemporaryFile() as copy:
        try:
            # Not by the library, in a thread: one that waits for the next byte holds up the end of the program.
            # Piece by piece as they come: an interruption is seen between two pieces.
            while piece := _read_some(sys.stdin.buffer):
                copy.write(piece)
        except OSError as error:
            msg = f"stdin cannot be read: {error.strerror}"
            raise click.UsageError(msg) from None
        copy.seek(0)
        yield copy


def _read_some(file: Any) -> bytes:
    # What is not buffered reads some at a time by itself.
    piece: bytes = getattr(file, "read1", file.read)(_PIECE)
    return piece
