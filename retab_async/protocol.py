"""What to send and what came back, as values and pure functions: no socket, no clock, no cattrs in here."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import orjson

from retab_async.errors import APIError, InvalidRunIdError, ResponseError, error_class, one_line

MIB = 1024 * 1024
CANCEL = "/cancel"
CANCEL_CAP = MIB
RESULT_CAP = 64 * MIB
ERROR_CAP = 64 * 1024
LINE_CAP = 16 * MIB

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# Patterns of the way of errors are left to be compiled when they are first needed.
_SECONDS = r"[0-9]{1,15}(\.[0-9]*)?"
_TAG = r"(?is)<(script|style)\b.*?</\1\s*>|<[^<>]*>"
_TELLING_PART = 4096
_MESSAGE_LENGTH = 500
_BODY_START = 500
_REQUEST_ID_LENGTH = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Error bodies nest three or four deep; what nests deeper is not telling anybody anything.
_DEEPEST = 8


class Body(Protocol):
    """What a request carries: so many bytes of a media type, in pieces, from the start each time they are asked for."""

    @property
    def media_type(self) -> str:
        """The Content-Type."""

    @property
    def length(self) -> int:
        """The Content-Length."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes, which are of the length; a `RetabError` where they cannot be had ends the call."""


class BytesBody(NamedTuple):
    """A body that is small and at hand."""

    content: bytes
    media_type: str = "application/json"

    @property
    def length(self) -> int:
        """The Content-Length."""
        return len(self.content)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield them all at once."""
        yield self.content


class Request(NamedTuple):
    """One call to make: `path` starts with `/v1`, `cap` is the most bytes its answer may have when decoded.

    `extra` seconds come on top of the timeout and the deadline, for what takes its time to send or to be answered. One
    that goes `elsewhere`, to an address that the API named, goes without the credential; `path` is then what errors
    call it. Of one that `is_streamed` a 2xx comes line by line, without an end to the time that it may take in all.
    """

    method: str
    path: str
    query: str = ""
    cap: int = RESULT_CAP
    body: Body | None = None
    idempotency_key: str | None = None
    extra: float = 0.0
    elsewhere: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    is_streamed: bool = False

    @property
    def is_cancel(self) -> bool:
        """Whether it cancels a run, and so ends what costs money."""
        return self.path.endswith(CANCEL)

    def __repr__(self) -> str:
        # Tracebacks may show locals: no document, and no address that is signed.
        return f"Request({self.method} {self.path})"


class Trail:
    """What a call may have brought about so far, for whoever has to clean up after it.

    `under_way`: the request has been handed over whole and nothing has come back. `in_doubt`: an earlier attempt ended
    that way, or with an answer that does not tell.
    """

    __slots__ = ("in_doubt", "under_way")

    def __init__(self, *, in_doubt: bool = False) -> None:
        self.in_doubt = in_doubt
        self.under_way = False

    @property
    def may_have_happened(self) -> bool:
        """Whether the call may have taken effect, as far as is known now."""
        return self.in_doubt or self.under_way


class Lines(Protocol):
    """The lines of an answer that is still coming."""

    async def next(self, extra: float = 0.0) -> bytes | None:
        """Return the next line, cut off behind `LINE_CAP`, or None at the end; `extra` seconds on top of the timeout.

        Raises `APIConnectionError` where it does not come.
        """

    def close(self) -> None:
        """Let go of the connection, whatever was still to come; more often is fine."""


class Response(NamedTuple):
    """One answer as it came, its body decoded and capped; `redact` takes the caller's secret out of what is quoted.

    Of one that `is_streamed` the body is empty, and in its `lines`, which whoever has it must close.
    """

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int
    redact: Callable[[str], str]
    lines: Lines | None = None

    def __repr__(self) -> str:
        # What is in it may echo a key.
        return f"Response({self.status} to {self.request.method} {self.request.path})"


def run_path(collection: str, run_id: object, verb: str = "") -> str:
    """Return the path of one run, or of a verb on it, with the id checked: `/v1/splits/splt_1/cancel`."""
    found = _RUN_ID.fullmatch(run_id) if isinstance(run_id, str) else None
    if found is None:
        msg = f"not a run id: {run_id!r:.200}; 1 to 128 letters, digits, _ and -, with a letter or digit first"
        raise InvalidRunIdError(msg)
    return f"{collection}/{found[0]}{verb}"


def read_response(response: Response) -> Any:
    """Return the JSON of a 2xx answer; raises `ResponseError` where there is none."""
    try:
        return orjson.loads(response.body)
    except ValueError:
        reason = "the answer is not JSON" if response.body else "the answer is empty"
    raise response_error(response, reason)


def line_content(line: bytes) -> bytes:
    """Return the JSON on a line of a stream, which may stand behind `data:`; empty for a line that says nothing."""
    return line.strip().removeprefix(b"data:").strip()


def response_error(response: Response, reason: str, path: str = "") -> ResponseError:
    """Return the error for a 2xx answer that cannot be read: what was asked has been done."""
    return ResponseError(
        reason,
        status_code=response.status,
        method=response.request.method,
        url=response.request.path,
        attempts=response.attempts,
        request_id=_request_id(response),
        body=_text(response)[:_BODY_START],
        path=path,
        in_doubt=response.request.method != "GET",
        idempotency_key=response.request.idempotency_key,
    )


def api_error(response: Response, now: datetime) -> APIError:
    """Return the error for an answer that is not a 2xx; `now` is what a `Retry-After` date is measured from."""
    body = _text(response)
    problem = _redacted(read_problem(body), response.redact)
    message = one_line(problem.message) or _phrase(response.status)
    if response.status in _REDIRECTS:
        message = f"the API answered with a redirect, which would carry the key elsewhere: {message}"
    return error_class(response.status)(
        message[:_MESSAGE_LENGTH],
        status_code=response.status,
        method=response.request.method,
        url=response.request.path,
        attempts=response.attempts,
        request_id=_request_id(response),
        body=body,
        code=problem.code,
        details=problem.details,
        retry_after=read_retry_after(response.headers.get("Retry-After"), now),
        in_doubt=response.request.method != "GET" and response.status >= 500 and response.status != 503,
        idempotency_key=response.request.idempotency_key,
    )


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a `Retry-After` asks for, as a number or an HTTP date; None for one that says nothing."""
    value = (value or "").strip()
    if re.fullmatch(_SECONDS, value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # An HTTP date is in GMT whether it says so or not.
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return seconds if seconds > 0 else None


class Problem(NamedTuple):
    """What an error body says: the most telling text, the innermost code, and whatever details came along."""

    message: str = ""
    code: str | None = None
    details: Any = None


def read_problem(body: str) -> Problem:
    """Find what an error body says, whichever of the API's and its gateways' shapes it has.

    The deepest text along `details`, `detail`, `error`, `message` wins over the generic sentence around it.
    """
    found = _walk(_json_or_none(body), 0)
    return found if found.message else Problem(_plain(body), found.code, found.details)


def _walk(value: Any, depth: int) -> Problem:
    if depth > _DEEPEST:
        return Problem()
    if isinstance(value, str):
        return _walk_text(value, depth)
    if isinstance(value, list):
        texts = [_walk(item, depth + 1).message for item in value]
        return Problem("; ".join(filter(None, texts)), None, value)
    if isinstance(value, dict):
        return _walk_object(value, depth)
    return Problem()


def _walk_text(value: str, depth: int) -> Problem:
    inner = _json_or_none(value)
    return _walk(inner, depth + 1) if isinstance(inner, dict | list) else Problem(_plain(value))


def _walk_object(value: dict[str, Any], depth: int) -> Problem:
    own = value.get("code") if isinstance(value.get("code"), str) else None
    if isinstance(value.get("msg"), str):
        return Problem(_located(value.get("loc"), value["msg"]), own)
    parts = (_walk(value.get(key), depth + 1) for key in ("details", "detail", "error", "message", "title"))
    inner = next((part for part in parts if part.message), Problem())
    listed = _walk(value.get("errors"), depth + 1).message
    message = ": ".join(filter(None, (_located(value.get("location"), inner.message), listed)))
    return Problem(message, inner.code or own, value.get("details") or value.get("errors") or inner.details)


def _located(place: Any, text: str) -> str:
    where = ".".join(str(step) for step in place) if isinstance(place, list) else place
    return f"{where}: {text}" if isinstance(where, str) and where and text else text


def _json_or_none(text: str) -> Any:
    try:
        return orjson.loads(text) if text[:1] in {"{", "["} else None
    except ValueError:
        return None


def _plain(text: str) -> str:
    text = text[:_TELLING_PART].lstrip()
    return " ".join((re.sub(_TAG, " ", text) if text.startswith("<") else text).split())[:_MESSAGE_LENGTH]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def _request_id(response: Response) -> str | None:
    told = response.headers.get("x-request-id", "")
    return response.redact(one_line(told))[:_REQUEST_ID_LENGTH] or None


def _text(response: Response) -> str:
    # A debugging proxy or an error page may echo the request's headers.
    return response.redact(response.body[:ERROR_CAP].decode(errors="replace"))


def _redacted(problem: Problem, redact: Callable[[str], str]) -> Problem:
    # Once more after reading: in JSON a key may be written with escapes.
    details = problem.details if redact(told := str(problem.details)) == told else None
    return Problem(redact(problem.message), redact(problem.code) if problem.code else None, details)
