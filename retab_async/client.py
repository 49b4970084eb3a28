"""The client: one session, its settings, and a collection for each kind of run."""

import asyncio
from copy import copy
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from retab_async.janitor import Janitor, UnconfirmedCancel
from retab_async.resources.partitions import Partitions
from retab_async.resources.splits import Splits
from retab_async.retrying import RetryPolicy
from retab_async.settings import Settings, veiled
from retab_async.transport import Pool, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

# Seconds that closing may take for cancels that are still owed.
_DRAINING = 10.0


class AsyncRetab:
    """A session with the Retab API over one pool of connections; use it with `async with`, or call `aclose()`.

    `api_key` (or `RETAB_API_KEY`) is sent as `Api-Key`, `bearer_token` as `Authorization: Bearer`. `base_url` (or
    `RETAB_API_BASE_URL`, or `https://api.retab.com`) must be https unless it is loopback. `timeout`: seconds for one
    attempt. `retry`: attempts, waits and the deadline over all of them. `max_connections`: requests in flight at once,
    each on a connection of its own; further ones wait their turn within their deadline. `proxy`: an http:// or https://
    address, by default what the environment names, read once; False for none. `ssl`: an `SSLContext`, or False to trust
    any certificate. `user_agent`: added to the library's own. `trace_configs`: handed to the aiohttp session.

    `session`: your own aiohttp session, used and never closed. `ssl` and `trace_configs` are then to be set there, its
    default headers are sent too, and a connection that is lost may cost one more send than is counted, because from
    outside a used connection of aiohttp cannot be told from a new one.

    The connections are opened on first use, in the event loop and the process that run then, and belong to them. A
    client that is never closed gives a `ResourceWarning`.

    Raises `ConfigurationError` for settings that cannot work, and says what to do.
    """

    def __init__(  # noqa: PLR0913 - the settings of a client, each of them optional
        self,
        api_key: str | None = None,
        *,
        bearer_token: str | None = None,
        base_url: str | None = None,
        timeout: float = 15.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_connections: int = 100,
        session: "aiohttp.ClientSession | None" = None,
        proxy: str | Literal[False] | None = None,
        ssl: SSLContext | bool = True,
        user_agent: str | None = None,
        trace_configs: "Sequence[aiohttp.TraceConfig]" = (),
    ) -> None:
        # A traceback that shows locals is not to show these, nor the frames below them.
        api_key, bearer_token, base_url = veiled(api_key), veiled(bearer_token), veiled(base_url)
        proxy = proxy if proxy is False else veiled(proxy)
        settings = Settings.resolve(
            api_key=api_key,
            bearer_token=bearer_token,
            base_url=base_url,
            proxy=proxy,
            timeout=timeout,
            user_agent=user_agent,
        )
        pool = Pool(session=session, max_connections=max_connections, ssl=ssl, trace_configs=trace_configs)
        self._assemble(pool, settings, retry, Janitor(), is_copy=False)

    def _assemble(self, pool: Pool, settings: Settings, retry: RetryPolicy, janitor: Janitor, *, is_copy: bool) -> None:
        self._pool = pool
        self._janitor = janitor
        self._closing: asyncio.Task[None] | None = None
        self._settings = settings
        self._retry = retry
        self._is_copy = is_copy
        transport = Transport(pool, settings, retry)
        self.splits = Splits(transport, janitor)
        self.partitions = Partitions(transport, janitor)

    def with_options(
        self,
        *,
        api_key: str | None = None,
        bearer_token: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        user_agent: str | None = None,
    ) -> "AsyncRetab":
        """Return a copy with other settings on the same connections, for one caller or a few calls.

        What is not given stays as it is. The pool belongs to the client that the copy was made from: closing that one
        ends the copy too, closing the copy ends nothing.

        Raises `ConfigurationError` for settings that cannot work.
        """
        api_key, bearer_token = veiled(api_key), veiled(bearer_token)
        settings = self._settings.changed(
            api_key=api_key, bearer_token=bearer_token, timeout=timeout, user_agent=user_agent
        )
        other = copy(self)
        other._assemble(self._pool, settings, retry or self._retry, self._janitor, is_copy=True)  # noqa: SLF001 - one of us
        return other

    async def aclose(self) -> tuple[UnconfirmedCancel, ...]:
        """Send the cancels that are still owed, for 10 seconds at the most, then close the connections.

        Returns, in all its life, what `running` and `attach` owed and could not confirm; empty is good. Once begun this
        goes on though its caller is cancelled. Closing twice is fine, and a session of your own is left open.
        """
        if not self._is_copy:
            # What a process inherited is its parent's to pay.
            if self._pool.is_inherited:
                await self._pool.aclose()
            elif self._janitor.is_idle and self._closing is None:
                await self._close()
            else:
                self._closing = self._closing or asyncio.get_running_loop().create_task(self._close())
                await asyncio.shield(self._closing)
        return self._janitor.unconfirmed

    async def _close(self) -> None:
        try:
            await self._janitor.drain(_DRAINING)
        finally:
            await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if "_settings" not in vars(self):
            # Its settings were refused: what shows the locals of that traceback comes here.
            return "<AsyncRetab that was not made>"
        state = "closed" if self._pool.closed else "open"
        return f"<AsyncRetab {self._settings.base_url} timeout={self._settings.timeout:g} {state}>"
