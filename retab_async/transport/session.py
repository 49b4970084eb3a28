"""The connection pool of a client and its copies."""

import asyncio
import errno
import os
import socket as sockets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from socket import socket
from ssl import SSLContext
from typing import Any

import aiohttp

from retab_async.errors import ClientStateError, ConfigurationError
from retab_async.settings import check_connection, check_count, is_public_host
from retab_async.throttle import FifoSemaphore
from retab_async.transport import wire
from retab_async.transport.wire import MAX_HEADER_BYTES
from retab_async.transport.wire_pool import WirePool

# The sockets that were opened for the current send of this task: none means that it used a kept-alive one.
opened_sockets: ContextVar[list[socket]] = ContextVar("retab_async_opened_sockets")
# Whether the current send of this task may only connect to public addresses: names of any host can resolve to others.
public_only: ContextVar[bool] = ContextVar("retab_async_public_only", default=False)

# Grows by an entry in each forked process. Compared for each request, which the process id is too slow for.
_forks: list[None] = []
with suppress(AttributeError):
    # Absent where there is no fork.
    os.register_at_fork(after_in_child=partial(_forks.append, None))

# Cancels that can always be in flight, whatever else holds all connections.
_CANCEL_RESERVE = 4


# Seconds: a connection may be silent for half an hour while a run is created, which NAT gateways forget sooner.
_KEEPALIVE_OPTIONS = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 30))


class ConnectionLostError(aiohttp.ClientConnectionError):
    """A lost connection, as an error that aiohttp does not retry by itself."""


CONNECTION_LOST_ERRORS = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
    ConnectionLostError,
)


class ConnectionPool:
    """Connection pool: one aiohttp session, opened on first use in the running loop, and a slot for each request.

    Args:
        session: A session of the user, used and never closed; None for one of its own.
        max_connections: Requests in flight at most; where others hold them all, a few cancels may be beside them.
        ssl: Handed to aiohttp's connector.
        trace_configs: Handed to the aiohttp session.

    Raises:
        ConfigurationError: A setting cannot work; the message says what to pass.
    """

    # Until `__init__` is done: a pool whose settings are invalid has nothing to close.
    closed: bool = True

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None,
        max_connections: int,
        ssl: SSLContext | bool,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        check_connection(session=session, ssl=ssl, trace_configs=trace_configs)
        limit = check_count("max_connections", max_connections)
        if session is not None:
            _check_cookie_jar(session)
            limit = _connection_limit(session, limit)
        # Requests wait here and not in aiohttp, where the wait would count against the timeout of their attempt.
        # A connector of the user's own may not have more connections.
        self.slots: FifoSemaphore = FifoSemaphore(limit, reserve=min(limit, _CANCEL_RESERVE) if session is None else 0)
        self.is_user_session: bool = session is not None
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forks_when_opened: int | None = None
        self._ssl = ssl
        self._trace_configs = list(trace_configs)
        self._wires: WirePool | None = None
        self.closed = False

    def __del__(self) -> None:
        if not self.closed and not self.is_user_session and not self.is_forked:
            message = "an AsyncRetab was never closed: use `async with`, or `await client.aclose()`"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)

    @property
    def is_forked(self) -> bool:
        """Whether it was opened in a parent process of this one, which goes on using its sockets."""
        return self._forks_when_opened is not None and self._forks_when_opened != len(_forks)

    def session(self) -> aiohttp.ClientSession:
        """Return the session, opened if necessary.

        Raises:
            ClientStateError: The pool is closed, or belongs to another event loop or process.
        """
        if self.is_forked:
            # Two processes that write to one socket read each other's answers.
            msg = "this client was opened before this process was forked: make one AsyncRetab in each process"
            raise ClientStateError(msg)
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self.closed:
            self._bind_to_loop(loop)
        session = self._session
        if session is None or session.closed:
            msg = "the aiohttp session that this client was given is closed"
            raise ClientStateError(msg)
        return session

    @contextmanager
    def external_session(self) -> Iterator[aiohttp.ClientSession]:
        """Give a session for hosts other than the API, without the default headers and credentials of a user's own."""
        session = self.session()
        if not self.is_user_session:
            yield session
            return
        bare = aiohttp.ClientSession(
            connector=session.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=session.trace_configs,
            trust_env=session.trust_env,
        )
        try:
            yield bare
        finally:
            bare.detach()

    def wires(self) -> WirePool | None:
        """Return the connections of the fast path; None if a request has to go through the session."""
        if asyncio.get_running_loop() is not self._loop or self.closed or len(_forks) != self._forks_when_opened:
            # Opens it, or raises.
            self.session()
        wires = self._wires
        return wires if wires is not None and wires.is_usable and not wire.is_session_instrumented() else None

    def lend_connection(self) -> None:
        """Give an idle connection of the fast path to the session, which is about to need one."""
        if self._wires is not None:
            self._wires.lend()

    def options(self, method: str) -> dict[str, Any]:
        """Return the aiohttp options that every request of a method needs in this session."""
        limits = {"max_line_size": MAX_HEADER_BYTES, "max_field_size": MAX_HEADER_BYTES}
        if self.is_user_session:
            return {"raise_for_status": False, "auto_decompress": True, **limits}
        # aiohttp resends these when the connection breaks, be it new or used, but one attempt is one send. (A user's
        # session keeps its own middlewares, and with them this behaviour.)
        return {"middlewares": (_disable_aiohttp_retry,), **limits} if method in {"GET", "PUT", "DELETE"} else limits

    async def aclose(self) -> None:
        """Close the session, unless it belongs to the user or to another process; may be called again."""
        self.closed = True
        # A forked process that took its sockets off the event loop would take them off its parent's as well.
        if self._session is not None and not self.is_user_session and not self.is_forked:
            try:
                await self._session.close()
            finally:
                if self._wires is not None:
                    self._wires.close()

    def _bind_to_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.closed:
            msg = "this client is closed: make a new AsyncRetab, or keep its calls inside the `async with`"
            raise ClientStateError(msg)
        if self._loop is not None:
            msg = "this client was opened in another event loop: make one AsyncRetab inside each asyncio.run()"
            raise ClientStateError(msg)
        if self._session is None:
            # The slots are the limit.
            connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl, socket_factory=_open_socket, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(
                connector=connector,
                # A service that is called with a key needs no cookies, and cookies would tie the calls together.
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self._trace_configs,
            )
            # Instrumentation adds trace configs of its own to every session.
            if not self._session.trace_configs and wire.is_supported():
                self._wires = WirePool(connector, loop)
        self._forks_when_opened = len(_forks)
        self._loop = loop


def _open_socket(address: aiohttp.AddrInfoType) -> socket:
    family, kind, protocol, _, target = address
    if public_only.get() and not is_public_host(str(target[0])):
        raise OSError(errno.EACCES, "the host resolves to a local or private address")
    opened = socket(family, kind, protocol)
    opened.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE_OPTIONS:
        # Their names differ between operating systems.
        if (option := getattr(sockets, name, None)) is not None:
            opened.setsockopt(sockets.IPPROTO_TCP, option, seconds)
    if (opened_here := opened_sockets.get(None)) is not None:
        opened_here.append(opened)
    return opened


def _check_cookie_jar(session: aiohttp.ClientSession) -> None:
    if not isinstance(session.cookie_jar, aiohttp.DummyCookieJar):
        msg = (
            "the session keeps cookies, which would carry over from one key to another: "
            "make it with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())"
        )
        raise ConfigurationError(msg)


def _connection_limit(session: aiohttp.ClientSession, limit: int) -> int:
    connector = session.connector
    # 0 stands for no limit, and a closed session has no connector.
    limits = () if connector is None else (connector.limit, connector.limit_per_host)
    return min(limit, *filter(None, limits), limit)


async def _disable_aiohttp_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except CONNECTION_LOST_ERRORS as error:
        raise ConnectionLostError from error
