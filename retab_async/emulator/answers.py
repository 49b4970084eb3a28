"""What the emulator says back, as values: an answer, and the refusal that becomes one."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

JSON_TYPE = "application/json"
STREAM_TYPE = "application/stream+json"
# json.dumps would build an encoder anew for every answer.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _json_headers() -> dict[str, str]:
    return {"Content-Type": JSON_TYPE}


def _encoded(payload: Any) -> bytes:
    return _ENCODER.encode(payload).encode()


@attrs.frozen
class Response:
    """One HTTP answer before it is sent: status, body, headers; or `lines` that come one by one in place of a body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=_json_headers)
    lines: Callable[[], Iterator[bytes]] | None = None

    @classmethod
    def json(cls, status: int, payload: Any, headers: Mapping[str, str] | None = None) -> "Response":
        """Answer with a JSON document; `headers` join that of its type."""
        return cls(status, _encoded(payload), {**_json_headers(), **(headers or {})})

    @classmethod
    def stream(cls, payloads: Callable[[], Iterator[Any]]) -> "Response":
        """Answer with a JSON document on each line, made when its turn comes."""

        def lines() -> Iterator[bytes]:
            return (_encoded(payload) + b"\n" for payload in payloads())

        return cls(200, headers={"Content-Type": STREAM_TYPE}, lines=lines)

    def whole(self) -> bytes:
        """Give all of the body at once."""
        return b"".join(self.lines()) if self.lines else self.body


class HTTPError(Exception):
    """Ends a request with `{"detail": ...}` from wherever its fault was found; `headers` join those of the answer."""

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """Give the refusal as it goes over the wire."""
        return Response.json(self.status, {"detail": self.detail}, self.headers)


def problem(loc: tuple[str | int, ...], message: str, kind: str) -> dict[str, Any]:
    """Give one entry of a 422's `detail` list, in FastAPI's form."""
    return {"type": kind, "loc": list(loc), "msg": message}
