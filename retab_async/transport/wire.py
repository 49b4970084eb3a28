"""Fast connection path: a bodyless request is one write on an aiohttp connection, a plain response is read in place.

`ClientSession` costs several times the work of sending a short request and reading a short response. This module keeps
aiohttp's connector (DNS, happy eyeballs, TLS) and its HTTP parser, and replaces what lies between them. Any response
that is not plain (long, 1xx, malformed, an encoding other than gzip, ...) is replayed into aiohttp's own response
handler, so that limits, decompression and errors are aiohttp's. This is the only module that depends on aiohttp's
internals; `is_supported` checks them, and without them every request takes the ClientSession path.
"""

import asyncio
import inspect
import os
import sys
import time
import zlib
from collections.abc import Mapping
from itertools import pairwise
from math import inf
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from retab_async.transport.response_body import IncompleteResponseError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

# Longer bodies are read by aiohttp, which stops at the size limit.
_MAX_PLAIN_BYTES = 64 * 1024
# In the place of a Content-Length.
_CHUNKED = -1
_PLAIN_ENCODINGS = frozenset({None, "gzip"})
_END_OF_LINE = b"\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_HEAD_BYTES = len(_END_OF_HEAD)
_END_OF_CHUNKS = b"\r\n0\r\n\r\n"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
# aiohttp's own limit of 8 KiB is too small for what corporate proxies add.
MAX_HEADER_BYTES = 64 * 1024
_READ_BUFSIZE = 2**16
_DISABLING_VARIABLE = "RETAB_NO_FAST_WIRE"
# Test doubles and instrumentation replace this method; they expect to see every request.
_REQUEST = aiohttp.ClientSession._request  # noqa: SLF001 - compared, never called
# A connection that was lost; on a kept-alive one the server may just have closed it.
CONNECTION_LOST_ERRORS = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)


def is_supported() -> bool:
    """Report whether aiohttp has the internals that this module uses, unmodified, and the platform suits it."""
    # On Windows' default loop, reads into a shared buffer complete later.
    if sys.platform == "win32" or os.environ.get(_DISABLING_VARIABLE):
        return False
    try:
        connect = inspect.signature(aiohttp.TCPConnector.connect).parameters
        params = inspect.signature(ResponseHandler.set_response_params).parameters
    except (AttributeError, TypeError, ValueError):
        return False
    return (
        list(connect) == ["self", "req", "traces", "timeout"]
        and {"skip_payload", "read_until_eof", "auto_decompress", "read_bufsize", "max_line_size", "max_field_size"}
        <= set(params)
        and all(hasattr(ResponseHandler, name) for name in ("read", "data_received", "connection_lost", "should_close"))
        and all(hasattr(aiohttp.connector.Connection, name) for name in ("protocol", "transport", "close", "release"))
        and isinstance(_REQUEST, FunctionType)
        and not hasattr(_REQUEST, "__wrapped__")
        and _REQUEST.__module__ == "aiohttp.client"
    )


def is_session_instrumented() -> bool:
    """Report whether `ClientSession._request` has been replaced since this module was imported."""
    return aiohttp.ClientSession._request is not _REQUEST  # noqa: SLF001 - compared, never called


class RequestHead:
    """Prepared header bytes of the requests with one method and one credential.

    Attributes:
        before: The bytes before the target, which is a path below the URL with an optional query.
        after: The bytes after the target.
    """

    __slots__ = ("after", "before")

    def __init__(self, method: str, url: URL, headers: Mapping[str, str]) -> None:
        # aiohttp chooses the headers, so that both paths send the same ones.
        request = aiohttp.ClientRequest(method, url, headers=headers, loop=asyncio.get_running_loop())
        fields = dict(request.headers)
        if method in aiohttp.ClientRequest.POST_METHODS:
            fields.setdefault("Content-Type", "application/octet-stream")
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.before: bytes = f"{method} {url.raw_path.rstrip('/')}".encode("ascii")
        self.after: bytes = f" HTTP/1.1\r\n{lines}\r\n".encode()


# Status, headers and decoded body of a response; the body is cut one byte past its limit.
WireResponse: TypeAlias = "tuple[int, CIMultiDictProxy[str], bytes]"


class _NotPlainError(Exception):
    """The response is left to aiohttp's handler."""


class _ParserProtocol:
    """Flow control that the parser's streams require; plain responses are too short to need any."""

    _reading_paused = False

    def pause_reading(self) -> None:
        """Ignore the request to pause."""

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Ignore the request to resume."""


class Wire(asyncio.BufferedProtocol):
    """Connection that sends one request at a time and reads its response, if it is plain.

    A wire is idle without a waiter, busy with one, and delegated once aiohttp's response handler has taken it over.

    Attributes:
        deadline: `time.monotonic()` seconds at which the current request times out.
        idle_since: `time.monotonic()` seconds at which the last response ended.
        is_reused: Whether it has completed a request before the current one.
    """

    # asyncio reads into this buffer; a protocol without one costs an allocation of 256 KiB per read on the stock loop.
    __slots__ = (
        "_body_start",
        "_chunk_parser",
        "_connection",
        "_cuts",
        "_handler",
        "_head_parser",
        "_is_last",
        "_length",
        "_loop",
        "_message",
        "_payload",
        "_received",
        "_transport",
        "_view",
        "_waiter",
        "deadline",
        "idle_since",
        "is_reused",
    )

    def __init__(
        self,
        connection: Any,
        loop: asyncio.AbstractEventLoop,
        buffer: memoryview,
    ) -> None:
        self.deadline: float = inf
        self.idle_since: float = 0.0
        self.is_reused: bool = False
        self._connection = connection
        self._handler: ResponseHandler = connection.protocol
        self._transport: asyncio.Transport = connection.transport
        self._loop = loop
        self._view = buffer
        self._waiter: asyncio.Future[WireResponse | None] | None = None
        # Of a response that takes several reads: its bytes, where one read ended and the next began, and its head.
        self._received = b""
        self._cuts: list[int] = []
        self._message: RawResponseMessage | None = None
        # Of its body, once there is a message.
        self._payload: Any = None
        self._length = self._body_start = 0
        # Whether the server closes the connection after the response.
        self._is_last = False
        self._take_over()

    def _take_over(self) -> None:
        self._head_parser = self._make_parser(with_body=False)
        self._chunk_parser: Any = None
        self._transport.set_protocol(self)

    def _make_parser(self, *, with_body: bool) -> Any:
        return HttpResponseParser(
            _ParserProtocol(),  # type: ignore[arg-type]
            self._loop,
            _READ_BUFSIZE,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            payload_exception=aiohttp.ClientPayloadError,
            response_with_body=with_body,
            read_until_eof=True,
            # A short body is decompressed at its end, a long one by the handler, with its limits.
            auto_decompress=False,
        )

    # A method, as a property would be measurable: every request asks.
    def is_open(self) -> bool:
        """Report whether the connection can take another request."""
        return self._connection is not None and not self._transport.is_closing()

    @property
    def is_connected(self) -> bool:
        """Whether the event loop delivers the connection's data to this object."""
        return self._transport.get_protocol() is self

    def send(self, head: RequestHead, target: str, deadline: float) -> "asyncio.Future[WireResponse | None]":
        """Write a request and return a future of its response, None if the response is left to `read_head`."""
        self.deadline = deadline
        waiter = self._waiter = self._loop.create_future()
        # The bytes hold the credential: they are no local variable.
        self._transport.write(head.before + target.encode("ascii") + head.after)
        return waiter

    def take_back(self) -> bool:
        """Take over from aiohttp's handler again; False if that would not keep the connection after its response."""
        if self._handler.should_close or not self.is_open():
            return False
        self._take_over()
        return True

    async def read_head(self) -> tuple[int, "CIMultiDictProxy[str]", aiohttp.StreamReader]:
        """Return status, headers and body of a response that aiohttp's handler reads.

        Raises:
            aiohttp.ClientError: The response is malformed, or the connection was lost.
        """
        while True:
            try:
                message, payload = await self._handler.read()
            except HttpProcessingError as error:
                raise aiohttp.ClientResponseError(
                    None,  # type: ignore[arg-type]
                    (),
                    status=error.code,
                    message=error.message,
                    headers=error.headers,
                ) from error
            if not 100 <= message.code < 200 or message.code == 101:
                return message.code, message.headers, payload

    def rest(self) -> bool:
        """Make the connection idle after a complete response; False if it was closed with it."""
        self.deadline = inf
        self.is_reused = True
        self.idle_since = time.monotonic()
        return self._connection is not None

    def expire(self) -> None:
        """Fail the current request with a `TimeoutError`."""
        if self._waiter is not None and not self._waiter.done():
            # With a message but no complete body, the response is in progress.
            is_begun = self._message is not None
            self._waiter.set_exception(IncompleteResponseError(self._body_received()) if is_begun else TimeoutError())

    def close(self) -> None:
        """Close the connection, once or more often."""
        connection, self._connection = self._connection, None
        self._waiter = None
        if connection is not None:
            connection.close()

    def release(self) -> None:
        """Give the connection back to aiohttp's connector."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.set_protocol(self._handler)
            connection.release()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return the shared buffer to read into; the loop reports each read before it makes the next one."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was received, and complete or delegate the current response."""
        waiter = self._waiter
        if waiter is None:
            # Unsolicited bytes would be read as the next response.
            self.close()
            return
        data = self._view[:nbytes].tobytes()
        try:
            response = self._parse(data)
        except Exception:  # noqa: BLE001 - aiohttp's handler raises the same for the same bytes
            self._keep_received(data)
            self._delegate(waiter)
            return
        if response is None:
            self._keep_received(data)
            return
        self._waiter = None
        if self._received:
            self._forget_response()
        if not waiter.done():
            waiter.set_result(response)
        if self._is_last:
            self.close()

    def _keep_received(self, data: bytes) -> None:
        if self._received:
            self._cuts.append(len(self._received))
        self._received += data

    def _forget_response(self) -> None:
        self._received, self._cuts = b"", []
        self._message = self._payload = None

    def _parse(self, data: bytes) -> "WireResponse | None":
        # The response once it is complete, as most are after one read; an exception if it is not plain.
        received = self._received + data
        message = self._message
        if message is not None:
            start, length = self._body_start, self._length
            headers, compression = message.headers, message.compression
        else:
            # The parser gets no byte of the body: a stream for each would cost as much as all the rest.
            start = received.find(_END_OF_HEAD) + _END_OF_HEAD_BYTES
            if start < _END_OF_HEAD_BYTES:
                self._feed_partial_head(data)
                return None
            messages, _, _ = self._head_parser.feed_data(data[: start - len(received) or None])
            # The parser takes bare line feeds too, so the head may have ended sooner, and skips blank lines after it.
            if len(messages) != 1 or received[start - _END_OF_HEAD_BYTES - 1] in _END_OF_LINE:
                raise _NotPlainError
            message = messages[0][0]
            headers, compression = message.headers, message.compression
            if message.code != 200 or message.upgrade or compression not in _PLAIN_ENCODINGS:
                raise _NotPlainError
            length = _CHUNKED if message.chunked else int(headers[hdrs.CONTENT_LENGTH])
            if length > _MAX_PLAIN_BYTES:
                raise _NotPlainError
            self._is_last = message.should_close
            # The parser of chunks needs the head too.
            data = received
        if length == _CHUNKED:
            body = self._parse_chunks(data, received)
        else:
            missing = start + length - len(received)
            if missing < 0:
                # The further bytes must not become the head of the next response.
                raise _NotPlainError
            body = None if missing else received[start:]
        if body is None:
            self._message, self._body_start, self._length = message, start, length
            return None
        return 200, headers, _inflate(body) if compression else body

    def _feed_partial_head(self, data: bytes) -> None:
        messages, _, _ = self._head_parser.feed_data(data)
        if messages:
            raise _NotPlainError

    def _parse_chunks(self, data: bytes, received: bytes) -> bytes | None:
        if self._chunk_parser is None:
            self._chunk_parser = self._make_parser(with_body=True)
        messages, _, _ = self._chunk_parser.feed_data(data)
        if messages:
            ((_, self._payload),) = messages
        if not self._payload.is_eof():
            if len(received) > _MAX_PLAIN_BYTES:
                raise _NotPlainError
            return None
        if not received.endswith(_END_OF_CHUNKS):
            raise _NotPlainError
        body: bytes = self._payload.read_nowait(-1)
        self._payload = None
        return body

    def _body_received(self) -> int:
        received: int = self._payload.total_bytes if self._payload else len(self._received) - self._body_start
        return received

    def eof_received(self) -> None:
        """Let the transport close itself; `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the current request as aiohttp does, or forget the idle connection."""
        waiter = self._waiter
        if waiter is None:
            self._handler.connection_lost(exc)
            self.close()
            return
        if self._received:
            self._delegate(waiter)
            self._handler.connection_lost(exc)
            return
        self._waiter = None
        self._handler.connection_lost(exc)
        if not waiter.done():
            waiter.set_exception(self._handler.exception() or aiohttp.ServerDisconnectedError())

    def _delegate(self, waiter: "asyncio.Future[WireResponse | None]") -> None:
        received, cuts = self._received, self._cuts
        self._waiter = None
        self._forget_response()
        self._transport.set_protocol(self._handler)
        self._handler.set_response_params(
            read_until_eof=True,
            auto_decompress=True,
            read_bufsize=_READ_BUFSIZE,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        # First, so that the response is awaited before the handler closes the connection for an error in it.
        if not waiter.done():
            waiter.set_result(None)
        # Read by read, as the handler would have got them: an error in the last one may come after the response.
        for start, end in pairwise((0, *cuts, len(received))):
            self._handler.data_received(received[start:end])


def _inflate(body: bytes) -> bytes:
    # Whatever is not exactly one short gzip stream is left to aiohttp.
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    content = inflater.decompress(body, _MAX_PLAIN_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise _NotPlainError
    return content
