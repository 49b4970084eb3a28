"""The client: its settings, its connections, and a resource for each kind of run."""

import asyncio
import logging
import os
from functools import cache, partial
from inspect import signature
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from retab_async import bulk, resources
from retab_async.official_names import check_parameter_names
from retab_async.retry import RetryPolicy, check_policy
from retab_async.settings import DEFAULT_MAX_RESPONSE_BYTES, Settings, as_secret, as_secret_headers, check_seconds
from retab_async.throttle import RateLimit, SharedRateLimit, Stats, ThrottleRegistry, Totals, check_rate_limit
from retab_async.transport import ConnectionPool, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
    from datetime import date

    import aiohttp

    from retab_async.api.any_route import APIResponse
    from retab_async.cleanup import CleanupQueue, UnconfirmedCancel
    from retab_async.hooks import Hook, HookSet
    from retab_async.models import Run

# A library prints nothing by itself; the application decides.
logging.getLogger("retab_async").addHandler(logging.NullHandler())


class AsyncRetab(resources.RunResources):
    """Client of the Retab API over one connection pool; use it with `async with`, or call `aclose()`.

    Connections are opened on first use, and belong to the event loop and the process of that use. A client that is
    never closed causes a `ResourceWarning`.

    Args:
        api_key: Sent as `Api-Key`; by default `RETAB_API_KEY`.
        bearer_token: Sent as `Authorization: Bearer`, instead of an API key.
        base_url: The address of the API, https unless it is loopback; by default `RETAB_API_BASE_URL`, or
            `https://api.retab.com`.
        timeout: Seconds for one attempt; 15 by default.
        retry: The attempts, backoff and deadline of each call.
        max_connections: Requests in flight at once, each on its own connection; 100 by default. Further requests wait
            for a connection within their deadline, but for a few cancels while other calls hold them all.
        session: Your own aiohttp session with a `DummyCookieJar`, which is used and never closed. A smaller limit of
            its connector applies. Its default headers are sent too; `ssl` and
            `trace_configs` must be set there. A lost connection may cost one more send than is counted, because a
            reused connection of another session cannot be recognised.
        proxy: An http:// or https:// address; by default the environment's proxy, read once; False for none.
        ssl: An `SSLContext`, or False to trust any certificate.
        user_agent: Appended to the library's own.
        trace_configs: Passed to the aiohttp session.
        allow_http: Accept an http:// `base_url` beyond loopback, in a private network; by default
            `RETAB_API_ALLOW_HTTP`, or False.
        max_response_bytes: Size limit of one decoded response; 64 MiB by default.
        rate_limit: The known limit of the credential, which all calls of this client and its copies keep to, each
            credential by itself: `RateLimit(300, per=60)`; or one that processes share, `FileRateLimit` or
            `RedisRateLimit` of `retab_async.integrations.redis`. By default it is learned from responses.
        headers: Headers to send to the API with every request, such as one that a gateway needs; not the credential.
        hooks: Callables from a `Call` to a context manager that is entered around it, for metrics and traces; a hook
            that raises is logged once and affects no call.

    Raises:
        ConfigurationError: A setting cannot work; the message says what to pass.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Reject parameters of other clients; a decorator of `__init__` would keep the key in a frame of its errors."""
        names = frozenset(kwargs)
        del args, kwargs
        check_parameter_names(names)
        return super().__new__(cls)

    def __init__(
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
        allow_http: bool = False,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        rate_limit: RateLimit | SharedRateLimit | None = None,
        headers: "Mapping[str, str] | None" = None,
        hooks: "Sequence[Hook]" = (),
    ) -> None:
        # A traceback that shows locals must not show secrets, in this frame and those below it.
        api_key, bearer_token, base_url = as_secret(api_key), as_secret(bearer_token), as_secret(base_url)
        proxy = proxy if proxy is False else as_secret(proxy)
        headers = as_secret_headers(headers)
        settings = Settings.resolve(
            api_key=api_key,
            bearer_token=bearer_token,
            base_url=base_url,
            proxy=proxy,
            timeout=timeout,
            user_agent=user_agent,
            allow_http=allow_http,
            max_response_bytes=max_response_bytes,
            headers=headers,
        )
        retry, rate_limit = check_policy(retry), check_rate_limit(rate_limit)
        self._hooks = None if hooks == () else _load_hooks(hooks)
        pool = ConnectionPool(session=session, max_connections=max_connections, ssl=ssl, trace_configs=trace_configs)
        self._pool = pool
        # One for all copies, loaded when a resource is first used.
        self._load_cleanup = cache(partial(_new_cleanup, pool, max_connections, self._hooks))
        self._closing: asyncio.Task[None] | None = None
        self._throttles = ThrottleRegistry(rate_limit)
        self._configure(settings, retry)
        if self._hooks is not None:
            self._hooks.notify("on_client", self)

    def __reduce__(self) -> NoReturn:
        msg = "a client holds a key and cannot be pickled or copied: make one in each process"
        raise TypeError(msg)

    def _configure(self, settings: Settings, retry: RetryPolicy, *, is_copy: bool = False) -> None:
        self._is_copy = is_copy
        self._settings = settings
        self._retry = retry
        # The API limits each key by itself.
        self._throttle = throttle = self._throttles.get(settings.credential)
        self._bind_resources(Transport(self._pool, settings, retry, throttle, hooks=self._hooks), self._load_cleanup)

    @property
    def _cleanup(self) -> "CleanupQueue":
        return self._load_cleanup()

    def with_options(
        self,
        *,
        api_key: str | None = None,
        bearer_token: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        user_agent: str | None = None,
        headers: "Mapping[str, str] | None" = None,
    ) -> "AsyncRetab":
        """Return a copy with other settings on the same connections, for one user or a few calls.

        All copies with one credential share its throttle and retry budget, also while only a pause that the API asked
        for is left of them. The connections belong to the original client: closing it closes its copies, closing a
        copy closes nothing.

        Args:
            api_key: Sent as `Api-Key`.
            bearer_token: Sent as `Authorization: Bearer`, instead of an API key.
            timeout: Seconds for one attempt.
            retry: The attempts, backoff and deadline of each call.
            user_agent: Appended to the library's own.
            headers: Headers to send with every request, beside those of this client.

        Raises:
            ConfigurationError: A setting cannot work; the message says what to pass.
        """
        api_key, bearer_token, headers = as_secret(api_key), as_secret(bearer_token), as_secret_headers(headers)
        settings = self._settings.replace(
            api_key=api_key, bearer_token=bearer_token, timeout=timeout, user_agent=user_agent, headers=headers
        )
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        retry = self._retry if retry is None else check_policy(retry)
        other._configure(settings, retry, is_copy=True)
        return other

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: "Mapping[str, Any] | None" = None,
        json: Any = None,
        idempotency_key: str | None = None,
    ) -> "APIResponse":
        """Send a request with a JSON body, or none, to any route of the API, for what has no method of its own yet.

        Throttle, retries, deadline, size limit and redaction are those of every call; a POST or PATCH without an
        idempotency key is sent once. For a request that takes longer: `client.with_options(timeout=...).request(...)`.

        `{method} {path}`

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: Route from `/v1/` on, such as `/v1/files`.
            query: Parameters of the query: strings, numbers, booleans, dates; None is left out, a list is repeated.
            json: JSON value to send; None for no body.
            idempotency_key: Key under which repeated requests take effect once.

        Raises:
            InvalidRequestError: An argument cannot be sent, or the path leaves `/v1/`; nothing was sent.
            APIError: A status other than 2xx.
            APIConnectionError: No response.
            ResponseTooLargeError: The response is larger than `max_response_bytes`.
        """
        from retab_async.api.any_route import APIResponse, any_request  # noqa: PLC0415 - on first use

        return APIResponse(await self._transport.send(any_request(method, path, query, json, idempotency_key)))

    @property
    def base_url(self) -> str:
        """The address of the API, without `/v1`."""
        return self._settings.base_url

    @property
    def credential_fingerprint(self) -> str:
        """A hash of the API key or token, to tell accounts apart: no secret, as in journals and `UnconfirmedCancel`."""
        return self._settings.credential.fingerprint

    def stats(self) -> Stats:
        """Return the current statistics of this client's credential: of the client and its copies with the same one."""
        return self._throttle.stats()

    def totals(self) -> Totals:
        """Return the statistics of this client and all its copies, over all credentials that are in use."""
        return self._throttles.totals()

    def cancel_many(
        self,
        runs: "Iterable[resources.AnyRun] | AsyncIterable[resources.AnyRun]",
        /,
        *,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: "bulk.Order" = "completion",
        wait: bool = False,
        wait_timeout: float = 3600.0,
        outage_timeout: float = 60.0,
        dedupe: bool = False,
    ) -> "bulk.CancelJob[Run]":
        """Cancel runs of several kinds: `await` it for a `CancelReport`, or `async with` it for each `CancelOutcome`.

        `POST {path}/{id}/cancel`

        Args:
            runs: Runs, or pairs of a kind and an id: `("splits", id)`, `(client.splits, id)`. Anything else, such as a
                bare id, is `invalid`: the kind is not guessed.
            concurrency: See `RunResource.cancel_many`, as for the following arguments.
            rate_limit: The known limit of the credential.
            journal: A file that records the outcomes, to resume the job with.
            order: The order of the outcomes, `completion` or `input`.
            wait: Whether to follow accepted runs until they are finished.
            wait_timeout: Seconds for which one run is followed.
            outage_timeout: Seconds of an outage after which the remaining runs are given up.
            dedupe: Whether to send the cancel of a run once, however often it occurs.

        Raises:
            InvalidRequestError: An argument is invalid.
            ConfigurationError: An option is invalid.
        """
        options = bulk.CancelOptions(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            wait=wait,
            wait_timeout=wait_timeout,
            outage_timeout=outage_timeout,
            dedupe=dedupe,
        )
        return resources.cancel_runs(self, resources.RESOURCES, runs, options)

    def cancel_matching(
        self,
        *,
        from_date: "date | str | None" = None,
        to_date: "date | str | None" = None,
        concurrency: int = 64,
        rate_limit: RateLimit | None = None,
        journal: str | os.PathLike[str] | None = None,
        order: "bulk.Order" = "completion",
        dry_run: bool = False,
        wait: bool = False,
        wait_timeout: float = 3600.0,
        outage_timeout: float = 60.0,
    ) -> "bulk.CancelJob[Run]":
        """Cancel all active runs of all kinds that the API lists: all but `schemas` and `files.blueprints`.

        Walks the lists of one kind after the other, those of workflows first. If the API refuses the list of a kind,
        the runs of the others are cancelled before the job raises the refusal; a refusal of the caller (401, 402, 407)
        is raised at once. See `cancel_many` for the job, and the `cancel_matching` of each kind for more filters.

        `GET {path}`, `POST {path}/{id}/cancel`

        Args:
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            concurrency: See `RunResource.cancel_many`, as for the following arguments.
            rate_limit: The known limit of the credential.
            journal: A file that records the outcomes, to resume the job with.
            order: The order of the outcomes, `completion` or `input`.
            dry_run: True sends lists only, once, and reports each run as `planned`.
            wait: Whether to follow accepted runs until they are finished.
            wait_timeout: Seconds for which one run is followed.
            outage_timeout: Seconds of an outage after which the job ends.

        Raises:
            InvalidRequestError: A filter is invalid.
            ConfigurationError: An option is invalid.
        """
        options = bulk.CancelOptions(
            concurrency=concurrency,
            rate_limit=rate_limit,
            journal=journal,
            order=order,
            dry_run=dry_run,
            wait=wait,
            wait_timeout=wait_timeout,
            outage_timeout=outage_timeout,
        )
        kinds = resources.RESOURCES
        return resources.cancel_matching_runs(self, kinds, options, from_date=from_date, to_date=to_date)

    async def aclose(self, timeout: float | None = None) -> "tuple[UnconfirmedCancel, ...]":  # noqa: ASYNC109 - see Args
        """Send the pending cancels, those of blocks that are still open included, then close the connections.

        Once begun this continues even if its caller is cancelled. It can be called again. Closing a copy closes
        nothing, and your own session is left open.

        Args:
            timeout: Seconds for the pending cancels. By default 10, and one more for each batch that the connections
                can send at once, but 60 at most; 5 more than the period of a given rate limit if that is longer, but
                65 at most. Cancels that are pending after that are given up, not raised.

        Returns:
            The cancels that could not be confirmed in the client's life, the last 10,000 of them; ideally none.

        Raises:
            ConfigurationError: The timeout is not above zero.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        if not self._is_copy:
            # A forked process leaves its parent's pending cancels to the parent.
            if self._pool.is_forked:
                await self._pool.aclose()
            elif self._cleanup.is_idle and self._closing is None and not self._throttles.is_shared:
                await self._close(timeout)
            else:
                # It may have been cancelled by the end of its event loop.
                if self._closing is None or self._closing.cancelled():
                    self._closing = asyncio.get_running_loop().create_task(self._close(timeout))
                await asyncio.shield(self._closing)
        return self._cleanup.unconfirmed

    async def close(self) -> None:
        """Close the client as `aclose` does; the official name."""
        await self.aclose()

    async def _close(self, timeout: float | None) -> None:  # noqa: ASYNC109 - see aclose
        try:
            await self._cleanup.drain(timeout)
        finally:
            try:
                await self._pool.aclose()
            finally:
                await self._throttles.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if "_settings" not in vars(self):
            # Its settings were rejected: a traceback with locals shows it.
            return "<AsyncRetab not configured>"
        state = "closed" if self._pool.closed else "open"
        return f"<AsyncRetab {self._settings.base_url} timeout={self._settings.timeout:g} {state}>"


def _collections() -> dict[str, str]:
    # The kind of each route, for the names of calls.
    return {resource.path: name for name, resource in resources.RESOURCES.items()} | {"/v1/files": "files"}


def _load_hooks(hooks: "Sequence[Hook]") -> "HookSet":
    from retab_async.hooks import HookSet  # noqa: PLC0415 - on first use

    return HookSet(hooks, _collections)


def _new_cleanup(pool: ConnectionPool, max_connections: int, hooks: "HookSet | None") -> "CleanupQueue":
    from retab_async.cleanup import CleanupQueue  # noqa: PLC0415 - on first use

    return CleanupQueue(pool.slots, max_connections, hooks)


def _show_signature_of_init(cls: type[AsyncRetab]) -> None:
    # `inspect` would show the signature of `__new__`.
    shown = signature(cls.__init__)
    cls.__signature__ = shown.replace(parameters=[*shown.parameters.values()][1:])  # type: ignore[attr-defined]


_show_signature_of_init(AsyncRetab)
