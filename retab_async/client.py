"""The client: one session, its settings, and a collection for each kind of run."""

import asyncio
import os
from copy import copy
from functools import partial
from operator import attrgetter
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from retab_async.bulk import CancelJob, CancelOptions, Order
from retab_async.cleanup import CleanupQueue, UnconfirmedCancel
from retab_async.models import Run
from retab_async.resources import RESOURCES, RunResources
from retab_async.resources.base import RunResource
from retab_async.retry import RetryPolicy
from retab_async.settings import DEFAULT_MAX_RESPONSE_BYTES, Settings, as_secret
from retab_async.throttle import RateLimit, Stats, Throttle
from retab_async.transport import ConnectionPool, Transport
from retab_async.validation import reject

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Sequence

    import aiohttp

# A run, or the collection of one and its id: `("splits", id)`, `(client.splits, id)`.
AnyRun: TypeAlias = Run | tuple[str | RunResource[Any], str | Run]

# Seconds that closing may take for cancels that are still owed.
_CLOSE_TIMEOUT = 10.0


class AsyncRetab(RunResources):
    """A session with the Retab API over one pool of connections; use it with `async with`, or call `aclose()`.

    `api_key` (or `RETAB_API_KEY`) is sent as `Api-Key`, `bearer_token` as `Authorization: Bearer`. `base_url` (or
    `RETAB_API_BASE_URL`, or `https://api.retab.com`) must be https unless it is loopback. `timeout`: seconds for one
    attempt. `retry`: attempts, waits and the deadline over all of them. `max_connections`: requests in flight at once,
    each on a connection of its own; further ones wait their turn within their deadline. `proxy`: an http:// or https://
    address, by default what the environment names, read once; False for none. `ssl`: an `SSLContext`, or False to trust
    any certificate. `user_agent`: added to the library's own. `trace_configs`: handed to the aiohttp session.
    `max_response_bytes`: size limit of one decoded response, 64 MiB by default.

    `session`: your own aiohttp session with a `DummyCookieJar`, used and never closed; a smaller limit of its connector
    applies beside `max_connections`. `ssl` and `trace_configs` are then to be set there, its
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
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
    ) -> None:
        # A traceback that shows locals is not to show these, nor the frames below them.
        api_key, bearer_token, base_url = as_secret(api_key), as_secret(bearer_token), as_secret(base_url)
        proxy = proxy if proxy is False else as_secret(proxy)
        settings = Settings.resolve(
            api_key=api_key,
            bearer_token=bearer_token,
            base_url=base_url,
            proxy=proxy,
            timeout=timeout,
            user_agent=user_agent,
            max_response_bytes=max_response_bytes,
        )
        pool = ConnectionPool(session=session, max_connections=max_connections, ssl=ssl, trace_configs=trace_configs)
        self._pool = pool
        self._cleanup = CleanupQueue()
        self._closing: asyncio.Task[None] | None = None
        self._is_copy = False
        self._configure(settings, retry, Throttle())

    def _configure(self, settings: Settings, retry: RetryPolicy, throttle: Throttle) -> None:
        self._settings = settings
        self._retry = retry
        self._throttle = throttle
        self._bind_resources(Transport(self._pool, settings, retry, throttle), self._cleanup)

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

        What is not given stays as it is; a copy with the same key keeps to the same pace. The pool belongs to the
        client that the copy was made from: closing that one ends the copy too, closing the copy ends nothing.

        Raises `ConfigurationError` for settings that cannot work.
        """
        api_key, bearer_token = as_secret(api_key), as_secret(bearer_token)
        settings = self._settings.replace(
            api_key=api_key, bearer_token=bearer_token, timeout=timeout, user_agent=user_agent
        )
        other = copy(self)
        other._is_copy = True  # noqa: SLF001 - one of us
        # Limits are kept for a key: what one key was told says nothing about another one.
        pace = self._throttle if settings.credential == self._settings.credential else Throttle()
        other._configure(settings, retry or self._retry, pace)  # noqa: SLF001 - one of us
        return other

    def stats(self) -> Stats:
        """Return the figures of this moment: what is in flight, the pace, refusals, tokens for retries, latencies.

        They are those of one key: of this client and all its copies with the same one.
        """
        return self._throttle.stats()

    def cancel_many(  # noqa: PLR0913 - how to go about it, all of it optional
        self,
        runs: "Iterable[AnyRun] | AsyncIterable[AnyRun]",
        *,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: Order = "completion",
        wait: bool = False,
        outage_timeout: float = 60.0,
    ) -> CancelJob[Run]:
        """Cancel runs of several kinds: `await` it for a `CancelReport`, or `async with` it for each `CancelOutcome`.

        `runs`: runs, whose class tells their kind, or pairs of a collection and an id, `("splits", id)` or
        `(client.splits, id)`. What is neither, a bare id for one, is `rejected`: the kind is not guessed. The rest is
        as in the `cancel_many` of a collection.
        """
        terms = CancelOptions.checked(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            wait=wait,
            outage_timeout=outage_timeout,
        )
        resources: dict[str, RunResource[Any]] = {name: attrgetter(name)(self) for name in RESOURCES}
        kinds = [resource._cancel_target for resource in resources.values()]  # noqa: SLF001 - one of us
        return CancelJob(runs, kinds, partial(_resolve_run, resources), terms)

    async def aclose(self) -> tuple[UnconfirmedCancel, ...]:
        """Send the cancels that are still owed, for 10 seconds at the most, then close the connections.

        Owed are also those of blocks of `running` and `attach` that are not left yet. Returns what they, in all the
        client's life, owed and could not confirm; empty is good. Once begun this goes on though its caller is
        cancelled. Closing twice is fine, closing a copy ends and sends nothing, a session of your own is left open.
        """
        if not self._is_copy:
            # What a process inherited is its parent's to pay.
            if self._pool.is_forked:
                await self._pool.aclose()
            elif self._cleanup.is_idle and self._closing is None:
                await self._close()
            else:
                self._closing = self._closing or asyncio.get_running_loop().create_task(self._close())
                await asyncio.shield(self._closing)
        return self._cleanup.unconfirmed

    async def _close(self) -> None:
        try:
            await self._cleanup.drain(_CLOSE_TIMEOUT)
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


def _resolve_run(resources: dict[str, RunResource[Any]], run: AnyRun) -> tuple[str, str]:
    of: RunResource[Any] | None = None
    meant: str | Run | None = None
    if isinstance(run, Run):
        of, meant = next((each for each in resources.values() if isinstance(run, each.run_type)), None), run
    elif isinstance(run, tuple) and len(run) == 2:
        name, meant = run
        own = (each for each in resources.values() if each is name)
        of = resources.get(name) if isinstance(name, str) else next(own, None)
    if of is None:
        reject(f"no run, and no pair of a collection of this client and an id, as ('splits', id) is: {run!r:.200}")
    return of._run_id_of(meant)  # noqa: SLF001 - one of us
