"""What to say of a run that was being created, where the command is left before the run is over."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from retab_async.cli.harmless import harmless
from retab_async.cli.progress import Following
from retab_async.client import AsyncRetab

if TYPE_CHECKING:
    from retab_async.janitor import UnconfirmedCancel
    from retab_async.scope import RunHandle


@contextmanager
def doubt_told(key: str) -> Iterator[None]:
    """Say how to find a run whose create was interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_doubt(key), err=True)
        raise


def _doubt(key: str) -> str:
    return f"a run may have been created: the same command with --idempotency-key {harmless(key)} shows it"


class Leaving:
    """Says on stderr what became of a run that is cancelled when it is left: `handle` is it, None before it exists."""

    def __init__(self, key: str) -> None:
        self.handle: RunHandle[Any] | None = None
        self._key = key
        self._unconfirmed: tuple[UnconfirmedCancel, ...] | None = None

    @asynccontextmanager
    async def client(self, shown: Following) -> AsyncIterator[AsyncRetab]:
        """Give a client, and take note of what it could not confirm when it was closed."""
        client = AsyncRetab()
        try:
            yield client
        finally:
            if self.handle is not None and self._was_owed:
                shown.say(f"cancelling {self.handle.id}")
            self._unconfirmed = await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_in_doubt = isinstance(error, KeyboardInterrupt) or getattr(error, "in_doubt", False)
        if error is not None and (self.handle is not None or is_in_doubt):
            for line in self._lines():
                click.echo(harmless(line), err=True)

    @property
    def _was_owed(self) -> bool:
        # The handle itself owes nothing any more once its block has been left.
        run = self.handle.run if self.handle else None
        return run is not None and not run.status.is_terminal

    def _lines(self) -> Iterator[str]:
        if self._unconfirmed is None:
            yield f"{self.handle.id} may still be going on" if self.handle else _doubt(self._key)
        elif self._unconfirmed:
            yield from map(str, self._unconfirmed)
        elif self.handle is None:
            yield "no run was left going on"
        elif self._was_owed:
            yield f"cancelled {self.handle.id} on the server"
