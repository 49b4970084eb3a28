"""Maps what aiohttp raises to errors of this library, in its own words."""

from typing import Any, NamedTuple

import aiohttp

from retab_async.errors import APIConnectionError, APITimeoutError, ClientStateError, RetabError
from retab_async.protocol import Request
from retab_async.transport.response_body import IncompleteResponseError
from retab_async.transport.session import ConnectionLostError, ConnectionPool
from retab_async.transport.wire import MAX_HEADER_BYTES

# From an exception to its message and whether a retry can help; the first match counts. aiohttp's own messages may
# quote headers.
_MESSAGES: tuple[tuple[type[Exception], str, bool], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the server's certificate is not trusted", False),
    (aiohttp.ServerFingerprintMismatch, "the server's certificate is not the expected one", False),
    (aiohttp.ClientConnectorDNSError, "the host's name could not be resolved", True),
    (aiohttp.ClientProxyConnectionError, "the proxy could not be reached", True),
    (aiohttp.ClientConnectorError, "no connection to the host", True),
    (aiohttp.ClientHttpProxyError, "the proxy refused to connect to the host", False),
    (aiohttp.ClientResponseError, "the answer is not HTTP, or garbled", True),
    (aiohttp.ClientPayloadError, "the answer was cut short or garbled", True),
    (aiohttp.ClientConnectionError, "the connection was lost before the answer", True),
    (aiohttp.ClientError, "the request could not be sent", False),
)

# How aiohttp's LineTooLong begins, which it raises as another error.
_LINE_TOO_LONG = "Got more than "

# Their messages hold the request's headers, or the beginning of the response.
_QUOTING = (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError, ConnectionLostError)


class Attempt(NamedTuple):
    """One attempt of a request, by its number."""

    request: Request
    number: int


class ErrorMapper(NamedTuple):
    """Error mapper of one client.

    Attributes:
        pool: The client's connections; once they are closed, every failure is due to that.
        timeout: The seconds that connecting may take.
    """

    pool: ConnectionPool
    timeout: float

    def to_error(self, request: Request, number: int, seconds: float, error: Exception) -> RetabError:
        """Return the error for attempt `number` of a request, which had `seconds` and got no response."""
        if self.pool.closed:
            return ClientStateError("this client was closed while a call was under way")
        if isinstance(error, IncompleteResponseError):
            seconds = round(seconds + error.extension, 2)
            message = f"only {error.received} bytes of the answer arrived within {seconds:g} s"
            return APITimeoutError(message, **_details(request, number))
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = min(seconds, self.timeout)
        return _connection_error(request, number, seconds, error)


def _connection_error(request: Request, number: int, seconds: float, error: Exception) -> APIConnectionError:
    details = _details(request, number)
    if isinstance(error, TimeoutError):
        return APITimeoutError(f"no answer within {round(seconds, 2):g} s", **details)
    if isinstance(error, aiohttp.ClientResponseError) and error.message.startswith(_LINE_TOO_LONG):
        message = f"a header line of the answer is longer than {MAX_HEADER_BYTES} bytes"
        return APIConnectionError(message, transient=False, **details)
    message, transient = next((message, again) for kind, message, again in _MESSAGES if isinstance(error, kind))
    if isinstance(error, aiohttp.ClientConnectorError):
        message = f"{message}: {error.host}:{error.port}, {error.os_error.strerror or error.os_error}"
    return APIConnectionError(message, transient=transient, **details)


def _details(request: Request, number: int) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "attempts": number,
        "idempotency_key": request.idempotency_key,
    }


def sanitized_cause(error: Exception) -> BaseException | None:
    """Return the exception to chain as `__cause__`: without key, password or response, and without its frames.

    The frames that it passed through hold all of them, those of aiohttp above all.
    """
    if isinstance(error, _QUOTING):
        return None
    shown = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    shown.__cause__ = shown.__context__ = None
    return shown.with_traceback(None)
