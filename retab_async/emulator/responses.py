"""Responses of the emulator as values: a `Response`, and the `HTTPError` that becomes one."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

JSON_TYPE = "application/json"
# Seconds.
CHUNK_INTERVAL = 0.005
STREAM_TYPE = "application/stream+json"
# json.dumps would build an encoder anew for every response.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _json_headers() -> dict[str, str]:
    return {"Content-Type": JSON_TYPE}


def _encode(payload: Any) -> bytes:
    return _ENCODER.encode(payload).encode()


@attrs.frozen
class Response:
    """HTTP response before it is sent.

    Attributes:
        status: The HTTP status.
        body: The whole body; empty for a stream.
        headers: The headers, without those that the server adds to every response.
        lines: Makes the lines of a stream; sent one by one, each in two chunks, in place of `body`.
        chunk_interval: Seconds of real time before every chunk of a stream.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=_json_headers)
    lines: Callable[[], Iterator[bytes]] | None = None
    chunk_interval: float = CHUNK_INTERVAL

    @classmethod
    def json(cls, status: int, payload: Any, headers: Mapping[str, str] | None = None) -> "Response":
        """Make a JSON response; `headers` are added to its content type."""
        return cls(status, _encode(payload), {**_json_headers(), **(headers or {})})

    @classmethod
    def stream(cls, payloads: Callable[[], Iterator[Any]]) -> "Response":
        """Make a stream with one JSON document a line, each encoded just before it is sent."""

        def lines() -> Iterator[bytes]:
            return (_encode(payload) + b"\n" for payload in payloads())

        return cls(200, headers={"Content-Type": STREAM_TYPE}, lines=lines)

    def full_body(self) -> bytes:
        """Return the whole body, also of a stream."""
        return b"".join(self.lines()) if self.lines else self.body


class HTTPError(Exception):
    """Error response `{"detail": ...}`, raised by any code that handles a request."""

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def to_response(self) -> Response:
        """Convert the error to the response to send."""
        return Response.json(self.status, {"detail": self.detail}, self.headers)


def problem(loc: tuple[str | int, ...], message: str, kind: str) -> dict[str, Any]:
    """Make one entry of a 422's `detail` list, in FastAPI's form."""
    return {"type": kind, "loc": list(loc), "msg": message}
