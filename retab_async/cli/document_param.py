"""The FILE argument: a path, `-` for stdin, or an https:// URL."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

import click

_NAMES = ("document", "documents")

_CHUNK_BYTES = 1 << 16


class _Stdin:
    """Placeholder for stdin, which is read only after all other arguments are checked."""


FILENAME = click.Option(["--filename"], metavar="NAME", help="Send FILE under this name, such as a name for stdin.")


def file_argument() -> click.Argument:
    """Return `FILE`, the one document of a run."""
    return click.Argument(["document"], metavar="FILE", type=parse_document)


def parse_document(text: str) -> object:
    """Parse FILE; at most one of a command may be `-`."""
    if text != "-":
        return text
    if click.get_current_context().meta.setdefault(__name__, placeholder := _Stdin()) is not placeholder:
        msg = "stdin can be read only once: only one FILE may be -"
        raise click.BadParameter(msg)
    return placeholder


def takes_documents(parameters: Iterable[click.Parameter]) -> bool:
    """Return whether one of the parameters is a FILE."""
    return any(parameter.name in _NAMES for parameter in parameters)


@contextmanager
def open_documents(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields with the content of stdin in place of `-`; stdin is read to its end first."""
    with ExitStack() as copies:
        yield {name: _resolve(value, copies) if name in _NAMES else value for name, value in fields.items()}


def _resolve(value: Any, copies: ExitStack) -> Any:
    if isinstance(value, tuple):
        return tuple(_resolve(each, copies) for each in value)
    if isinstance(value, Mapping):
        return {name: _resolve(each, copies) for name, each in value.items()}
    return copies.enter_context(_copy_stdin()) if isinstance(value, _Stdin) else value


@contextmanager
def _copy_stdin() -> Iterator[IO[bytes]]:
    if sys.stdin is None:
        msg = "stdin is closed: there is nothing to read"
        raise click.UsageError(msg)
    with TemporaryFile() as copy:
        try:
            # Here rather than in the library's threads, which cannot be interrupted while they wait for a pipe.
            while chunk := _read_available(sys.stdin.buffer):
                copy.write(chunk)
        except OSError as error:
            msg = f"stdin cannot be read: {error.strerror}"
            raise click.UsageError(msg) from None
        copy.seek(0)
        yield copy


def _read_available(file: Any) -> bytes:
    # Only buffered files have read1; the read of the others returns what is available, too.
    chunk: bytes = getattr(file, "read1", file.read)(_CHUNK_BYTES)
    return chunk
