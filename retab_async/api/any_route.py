"""Requests to any route of the API, for what has no method of its own yet."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, cast
from urllib.parse import urlencode

from retab_async.json_codec import dumps
from retab_async.listing import date_text
from retab_async.protocol import CANCEL, BytesBody, Request, Response, parse_json, request_id_of
from retab_async.validation import idempotency_key as check_key
from retab_async.validation import one_of, reject

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})
# Segments of letters, digits and a few marks: no escape, and no `.` or `..`, which could lead out of /v1.
_PATH = re.compile(r"/v1(/(?!\.{1,2}(/|$))[A-Za-z0-9._~:@-]+)+/?")


class APIResponse:
    """A 2xx response to `AsyncRetab.request`.

    Attributes:
        status: HTTP status.
        headers: The headers, by names in any case.
        request_id: The server's `x-request-id`, None without one.
        attempts: Attempts of the call, the first included.
        content: The decoded body.
    """

    def __init__(self, response: Response) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = _redacted_headers(response)
        self.request_id: str | None = request_id_of(response)
        self.attempts: int = response.attempts
        self.content: bytes = response.body
        self._response = response

    def json(self) -> Any:
        """Return the JSON of the body.

        Raises:
            ResponseError: The body is not JSON, or is nested too deeply.
        """
        return parse_json(self._response)

    def __repr__(self) -> str:
        # The content may be a document.
        return f"<APIResponse {self.status}, {len(self.content)} bytes>"


def any_request(
    method: str, path: str, query: Mapping[str, Any] | None, json: Any, idempotency_key: str | None
) -> Request:
    """Return a request to any route.

    Args:
        method: GET, POST, PUT, PATCH or DELETE.
        path: The path, from `/v1/` on.
        query: Parameters: strings, numbers, booleans, dates; None is left out, a list is repeated.
        json: A JSON value to send, None for no body.
        idempotency_key: Sent as `Idempotency-Key`; without one a POST or PATCH is sent once.

    Raises:
        InvalidRequestError: An argument cannot be sent.
    """
    method = one_of("method", method.upper() if isinstance(method, str) else method, _METHODS)
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        reject(f"path must be a route such as '/v1/files', without a query and escapes, not {path!r:.200}")
    key = None if idempotency_key is None else check_key(idempotency_key)
    body = None if json is None else _json_body(json)
    return Request(
        method,
        path,
        _encode_query(query),
        body=body,
        idempotency_key=key,
        # A body brings the key along.
        headers=(("Idempotency-Key", key),) if key is not None and body is None else (),
        is_repeatable=key is not None or method in _IDEMPOTENT_METHODS,
        is_cancel=path.endswith(CANCEL),
    )


def _json_body(value: Any) -> BytesBody:
    try:
        return BytesBody(dumps(value, dict))
    except (TypeError, ValueError) as error:
        reject(f"json cannot be sent as JSON: {error}")


def _encode_query(query: Any) -> str:
    if query is None:
        return ""
    if not isinstance(query, Mapping):
        reject(f"query must be a mapping, not {query!r:.200}")
    values = {name: value if isinstance(value, list | tuple) else [value] for name, value in query.items()}
    pairs = [(name, _to_text(name, each)) for name, several in values.items() for each in several if each is not None]
    return urlencode(pairs)


def _to_text(name: Any, value: Any) -> str:
    if isinstance(name, str) and isinstance(value, date):
        return cast("str", date_text(name, value))
    if not isinstance(name, str) or not isinstance(value, str | int | float):
        reject(f"query must have strings, numbers and dates, or lists of them, not {name!r:.100}: {value!r:.200}")
    if isinstance(value, bool):
        return str(value).lower()
    text = str.__str__(value) if isinstance(value, str) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        reject(f"query must have text that can be encoded as UTF-8, not {name!r:.100}: {value!r:.200}")
    return text


def _redacted_headers(response: Response) -> Mapping[str, str]:
    redacted = {name: response.redact(value) for name, value in response.headers.items()}
    if all(value == response.headers[name] for name, value in redacted.items()):
        return response.headers
    # Keeps the names case-insensitive.
    copy: Any = response.headers.copy()  # type: ignore[attr-defined]  # of all that the transport gives
    copy.update(redacted)
    return copy  # type: ignore[no-any-return]
