"""Responses: their JSON, their Retry-After, and the errors they stand for."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

import attrs

from retab_async.errors import APIError, ResponseError, ResponseTooLargeError, error_class
from retab_async.protocol.json_loader import JSONLimitError, load_json
from retab_async.protocol.problems import MESSAGE_LENGTH, Problem, exceeds_depth, read_problem
from retab_async.protocol.requests import MIB, Request
from retab_async.text import single_line

MAX_ERROR_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * MIB
# Deeper JSON is rejected: repr, json and copy recurse over the values of a run.
MAX_JSON_DEPTH = 200

# Compiled on first use: most calls never need it.
_SECONDS = r"[0-9]{1,15}(\.[0-9]*)?"
_BODY_START = 500
_REQUEST_ID_LENGTH = 200
_BOM = b"\xef\xbb\xbf"
# Lines of a server-sent event that hold no data; JSON never begins with one of them.
_OTHER_FIELDS = (b":", b"event:", b"id:", b"retry:")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class LineStream(Protocol):
    """Line stream: the lines of a response that is still arriving."""

    async def next(self, extra: float = 0.0) -> bytes | None:
        """Return the data of the next line that has any, truncated after `MAX_LINE_BYTES` + 1, or None at the end.

        Args:
            extra: Seconds on top of the timeout of a line.

        Raises:
            APIConnectionError: The line did not arrive.
        """

    def close(self) -> None:
        """Release the connection, whatever is still to arrive; may be called again."""


# Not frozen, and with fields that have no repr, for the reasons that `Request` gives.
@attrs.define(eq=False, repr=False)
class Response:
    """HTTP response: to change one, `attrs.evolve` it.

    Attributes:
        request: What it answers.
        status: The status code.
        headers: The headers, case-insensitive.
        body: The decoded body, truncated one byte past the request's limit.
        attempts: The number of the attempt.
        redact: Removes the caller's secret from text that is quoted.
        lines: The body of a streamed response, which the caller must close; `body` is then empty.
    """

    request: Request
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int
    redact: Callable[[str], str] = attrs.field(repr=False)
    lines: LineStream | None = None

    def __repr__(self) -> str:
        # The content may echo a key.
        return f"Response({self.status} to {self.request.method} {self.request.path})"


def parse_json(response: Response) -> Any:
    """Return the JSON of a 2xx response.

    Raises:
        ResponseError: It holds none.
    """
    body = response.body
    try:
        value = load_json(body)
    except JSONLimitError as error:
        reason = str(error)
    except ValueError:
        reason = "the answer is not JSON" if body else "the answer is empty"
    else:
        # Most responses are shorter than the brackets of the deepest ones.
        if len(body) <= 2 * MAX_JSON_DEPTH or _is_flat(body) or not exceeds_depth(value, MAX_JSON_DEPTH):
            return value
        del value
        reason = f"the answer is nested deeper than {MAX_JSON_DEPTH} levels"
    raise response_error(response, reason)


def _is_flat(body: bytes) -> bool:
    # Has fewer brackets than the deepest ones. Most bodies are too short for as many objects, which take the five bytes
    # of `{"":}` a level, so that these need not be counted.
    lists = body.count(b"[")
    return lists + len(body) // 5 <= MAX_JSON_DEPTH or lists + body.count(b"{") <= MAX_JSON_DEPTH


def event_data(line: bytes) -> bytes:
    """Return the data on a line of a stream, with or without `data:` before it.

    Empty for a line without any: a blank one, a comment, or another field of a server-sent event.
    """
    line = line.removeprefix(_BOM).strip()
    if line.startswith(_OTHER_FIELDS):
        return b""
    return line.removeprefix(b"data:").strip()


def is_keep_alive(line: bytes) -> bool:
    """Tell whether a line of a stream is a comment, such as `: ping`, by which the server keeps it open."""
    return line.lstrip().startswith(b":")


def response_error(response: Response, reason: str, path: str = "") -> ResponseError:
    """Return the error for a 2xx response that cannot be read, though the call took effect."""
    return ResponseError(reason, path=path, **_details(response))


def too_large_error(response: Response, limit: int) -> ResponseTooLargeError:
    """Return the error for a 2xx response of more than `limit` bytes."""
    hint = "" if limit == response.request.max_response_bytes else ": raise max_response_bytes of the client to read it"
    return ResponseTooLargeError(f"the answer is larger than {limit} bytes{hint}", **_details(response))


def _details(response: Response) -> dict[str, Any]:
    return {
        "status_code": response.status,
        "method": response.request.method,
        "url": response.request.path,
        "attempts": response.attempts,
        "request_id": request_id_of(response),
        "body": _text(response)[:_BODY_START],
        "in_doubt": response.request.method != "GET",
        "idempotency_key": response.request.idempotency_key,
    }


def api_error(response: Response, now: datetime) -> APIError:
    """Return the error for a response that is not a 2xx; a `Retry-After` date is relative to `now`."""
    body = _text(response)
    problem = _redacted(read_problem(body), partial(_redact, response))
    message = single_line(problem.message) or _phrase(response.status)
    if response.status in _REDIRECTS:
        message = f"the API answered with a redirect, which would carry the key elsewhere: {message}"
    return error_class(response.status)(
        message[:MESSAGE_LENGTH],
        status_code=response.status,
        method=response.request.method,
        url=response.request.path,
        attempts=response.attempts,
        request_id=request_id_of(response),
        body=body,
        code=problem.code,
        details=problem.details,
        retry_after=read_retry_after(response.headers, now),
        in_doubt=response.request.method != "GET" and response.status >= 500 and response.status != 503,
        idempotency_key=response.request.idempotency_key,
    )


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds that a response asks for, None without one or with an invalid one.

    `retry-after-ms` wins over `Retry-After`, which is a number or an HTTP date. A date is relative to the
    `Date` of the response, because the clocks of client and server may differ, and to `now` without one.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if re.fullmatch(_SECONDS, milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(_SECONDS, value):
        return float(value)
    moment = _read_date(value)
    if moment is None:
        return None
    seconds = moment - (_read_date(headers.get("Date", "")) or now.timestamp())
    return seconds if seconds > 0 else None


def _read_date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        # An HTTP date is in GMT whether it says so or not.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def request_id_of(response: Response) -> str | None:
    """Return the `x-request-id` of a response as one line without the caller's secret, None without one."""
    request_id = response.headers.get("x-request-id", "")
    return _redact(response, single_line(request_id))[:_REQUEST_ID_LENGTH] or None


def _text(response: Response) -> str:
    # A debugging proxy or an error page may echo the request's headers.
    return _redact(response, response.body[:MAX_ERROR_BYTES].decode(errors="replace"))


def _redact(response: Response, text: str) -> str:
    return response.request.redact(response.redact(text))


def _redacted(problem: Problem, redact: Callable[[str], str]) -> Problem:
    # Once more after reading: in JSON a key may be written with escapes.
    shown = str(problem.details)
    details = problem.details if redact(shown) == shown else None
    return Problem(redact(problem.message), redact(problem.code) if problem.code else None, details)
