"""Text from elsewhere, as it can be shown to people: no command of the terminal's, no line break, nothing invisible."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO
from unicodedata import category

import click

from retab_async.errors import ConfigurationError, InvalidRequestError, InvalidRunIdError, RetabError


def escape_control_chars(text: str) -> str:
    r"""Return a text with what is neither printable nor a blank written as its escape, such as `\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    # The blanks of all scripts are harmless, and some keyboards put them into filenames.
    is_harmless = letter.isprintable() or category(letter) == "Zs"
    return letter if is_harmless else letter.encode("unicode_escape").decode()


def require_terminal(verb: str) -> None:
    """Wrong usage where there is nobody to be asked."""
    if not (sys.stdin and sys.stdin.isatty()):
        msg = f"stdin is no terminal to ask at: give --yes to {verb} without being asked"
        raise click.UsageError(msg)


def confirm(question: str) -> bool:
    """Ask on stderr and return the answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        # What comes next is not to stand behind the question.
        click.echo(err=True)
        raise


# The exit code of what Ctrl-C has ended.
INTERRUPTED = 130


@contextmanager
def cli_errors() -> Iterator[None]:
    """Turn what the library raises into errors that the command ends with; those of its settings pass."""
    try:
        yield
    except ConfigurationError:
        raise
    except (InvalidRequestError, InvalidRunIdError) as error:
        raise click.UsageError(escape_control_chars(str(error))) from None
    except RetabError as error:
        raise click.ClickException(escape_control_chars(str(error))) from None


def show_logs(verbose: int) -> None:
    """Log warnings to stderr, or with 2 every attempt too; with 0 nothing."""
    logger = logging.getLogger("retab_async")
    if verbose:
        handler = _Stderr()
        handler.setFormatter(_Harmless())
        logging.basicConfig(handlers=[handler])
    else:
        logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at that moment: where a line lives at its end, that is what keeps clear of it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Harmless(logging.Formatter):
    """The message alone, with nothing in it that a terminal would obey."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name it has there
        return escape_control_chars(record.message)
