"""Terminal interaction: escaping of foreign text, questions, error conversion and logging."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO
from unicodedata import category

import click

if TYPE_CHECKING:
    from rich.console import Console

# The exit code of a command that was ended by Ctrl-C.
INTERRUPTED = 130
# Characters of a command that a hint repeats: a pattern that the shell expanded may be thousands of paths.
_MAX_COMMAND = 1000


def stdout_console() -> "Console":
    """Return rich's console for stdout."""
    from rich.console import Console  # noqa: PLC0415 - every command loads this module

    # The file is passed so that rich sees its encoding, and draws in ASCII if it must.
    return Console(file=sys.stdout)


def stderr_console() -> "Console":
    """Return rich's console for stderr."""
    from rich.console import Console  # noqa: PLC0415 - every command loads this module

    return Console(file=sys.stderr, stderr=True)


def escape_control_chars(text: str) -> str:
    r"""Return a text with every character that is neither printable nor a space written as its escape, like `\x1b`."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(char: str) -> str:
    # The spaces of all scripts are harmless, and some keyboards put them into filenames.
    is_harmless = char.isprintable() or category(char) == "Zs"
    return char if is_harmless else char.encode("unicode_escape").decode()


def require_terminal(verb: str) -> None:
    """Raise `click.UsageError` if stdin is not a terminal on which a question can be answered."""
    if not (sys.stdin and sys.stdin.isatty()):
        msg = f"stdin is not a terminal: pass --yes to {verb} without a question"
        raise click.UsageError(msg)


def confirm(question: str) -> bool:
    """Ask on stderr and return the answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        # End the line of the question.
        click.echo(err=True)
        raise


def resume_hint(inputs: str, *, reads_stdin: bool, has_journal: bool) -> Iterator[str]:
    """Yield the lines that say how to resume the command.

    Args:
        inputs: What it reads from stdin, such as `ids`.
        reads_stdin: Whether it does.
        has_journal: Whether it has a journal to resume from.
    """
    if not has_journal:
        yield "with --journal FILE, the same command would resume"
        return
    where = f", with the same {inputs} on stdin" if reads_stdin else ""
    command = shlex.join(["retab-async", *click.get_current_context().find_root().obj])
    if len(command) > _MAX_COMMAND:
        yield f"to resume{where}: repeat the same command"
    else:
        yield f"to resume{where}:"
        yield f"    {command}"


@contextmanager
def cli_errors() -> Iterator[None]:
    """Convert the library's errors to click's, except those that `run` handles itself."""
    from retab_async.errors import (  # noqa: PLC0415 - every command loads this module
        ConfigurationError,
        InvalidRequestError,
        InvalidRunIdError,
        RetabError,
        TerminatedError,
    )

    try:
        yield
    except (ConfigurationError, TerminatedError):
        raise
    except (InvalidRequestError, InvalidRunIdError) as error:
        raise click.UsageError(escape_control_chars(str(error))) from None
    except RetabError as error:
        raise click.ClickException(escape_control_chars(str(error))) from None


def configure_logging(verbosity: int) -> None:
    """Log to stderr: only what concerns a shared limit with 0, all warnings with 1, every attempt with 2."""
    handler = _StderrHandler()
    handler.setFormatter(_EscapingFormatter())
    shared_limit = logging.getLogger("retab_async.shared_limit")
    shared_limit.handlers.clear()
    if verbosity:
        logging.basicConfig(handlers=[handler])
    else:
        shared_limit.addHandler(handler)
    logging.getLogger("retab_async").setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Log handler that looks up `sys.stderr` for each record, because a progress display replaces it meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _EscapingFormatter(logging.Formatter):
    """Log formatter that prints the escaped message alone."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides logging's method
        return escape_control_chars(record.message)
