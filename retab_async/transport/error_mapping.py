"""What it means that a request was not answered, in words of our own."""

from typing import Any

import aiohttp

from retab_async.errors import APIConnectionError, APITimeoutError
from retab_async.protocol import Request
from retab_async.transport.session import ConnectionLostError

# From what aiohttp raises to what it means and whether another try can help; the first that fits. The words are our
# own: aiohttp's may quote headers.
_MEANINGS: tuple[tuple[type[Exception], str, bool], ...] = (
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

# Their texts hold the request's headers, or the head of the answer as far as it was read.
_QUOTING = (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError, ConnectionLostError)


def connection_error(request: Request, number: int, seconds: float, error: Exception) -> APIConnectionError:
    """Return the error for attempt `number` of a request that had so many seconds and was not answered."""
    told: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "attempts": number,
        "idempotency_key": request.idempotency_key,
    }
    if isinstance(error, TimeoutError):
        return APITimeoutError(f"no answer within {round(seconds, 2):g} s", **told)
    meaning, transient = next((words, again) for kind, words, again in _MEANINGS if isinstance(error, kind))
    if isinstance(error, aiohttp.ClientConnectorError):
        meaning = f"{meaning}: {error.host}:{error.port}, {error.os_error.strerror or error.os_error}"
    return APIConnectionError(meaning, transient=transient, **told)


def sanitized_cause(error: Exception) -> BaseException | None:
    """Return what may stand behind an error of ours without quoting a key, a password or an answer.

    It stands there by itself: the frames that it has passed through hold all of them, aiohttp's above all.
    """
    if isinstance(error, _QUOTING):
        return None
    shown = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    shown.__cause__ = shown.__context__ = None
    return shown.with_traceback(None)
