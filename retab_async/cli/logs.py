"""What `-v` shows: the library's log on stderr."""

import logging
import sys
from typing import TextIO

from retab_async.cli.harmless import harmless


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
        return harmless(record.message)
