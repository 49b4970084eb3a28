"""What the library raises, as the command tells it: wrong usage, or a call that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from retab_async.cli.harmless import harmless
from retab_async.errors import ConfigurationError, InvalidRequestError, InvalidRunIdError, RetabError

# The exit code of what Ctrl-C has ended.
INTERRUPTED = 130


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn what the library raises into errors that the command ends with; those of its settings pass."""
    try:
        yield
    except ConfigurationError:
        raise
    except (InvalidRequestError, InvalidRunIdError) as error:
        raise click.UsageError(harmless(str(error))) from None
    except RetabError as error:
        raise click.ClickException(harmless(str(error))) from None
