"""Requests: what to send, its body, and the state of its delivery."""

import re
from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

import attrs

from retab_async.errors import InvalidRunIdError

MIB = 1024 * 1024
CANCEL = "/cancel"
MAX_CANCEL_BYTES = MIB
MAX_STATUS_BYTES = 4 * MIB
MAX_PAGE_BYTES = 32 * MIB

# Headers that a host other than the API may get; all others stay here.
_EXTERNAL_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "if-none-match",
    }
)
_EXTERNAL_PREFIXES = ("x-amz-", "x-goog-", "x-ms-")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class Body(Protocol):
    """Request body: bytes of a media type, in pieces, readable again for each attempt."""

    @property
    def media_type(self) -> str:
        """The Content-Type."""

    @property
    def length(self) -> int:
        """The Content-Length."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield `length` bytes.

        Raises:
            RetabError: They cannot be read; this ends the call.
        """


class BytesBody(NamedTuple):
    """Small request body in memory."""

    content: bytes
    media_type: str = "application/json"

    @property
    def length(self) -> int:
        """The Content-Length."""
        return len(self.content)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield all bytes at once."""
        yield self.content


# Not frozen: its `__init__`, which every call needs, would take five times as long.
@attrs.define(repr=False)
class Request:
    """HTTP request as a value: to change one, `attrs.evolve` it.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        path: The path, from `/v1` on; how errors name the request.
        query: The query string, without `?`.
        max_response_bytes: Size limit of the decoded response, in bytes; the client's applies as well.
        body: The body, None for none.
        idempotency_key: Sent as `Idempotency-Key`.
        extra_seconds: Extends timeout and deadline, e.g. for uploads.
        external_url: Sent there instead, without the credential.
        headers: Further headers; of those for an `external_url` only the ones that storage services define are sent.
        public_only: No connection to a local or private address is opened for it.
        secrets: Tokens of the request itself, such as a signature in its URL, redacted where the response is quoted.
        is_streamed: A 2xx arrives line by line, without a limit for the whole.
        is_repeatable: Whether sending it twice has the effect of sending it once; if not, it is sent once.
        is_cancel: Whether it cancels a run, and so stops costs.
    """

    # Where it may hold a document or a signed URL, a field has no repr: rich, for one, shows classes field by field.
    method: str
    path: str
    query: str = attrs.field(default="", repr=False)
    max_response_bytes: int | None = None
    body: Body | None = attrs.field(default=None, repr=False)
    idempotency_key: str | None = None
    extra_seconds: float = 0.0
    external_url: str = attrs.field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    is_streamed: bool = False
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    public_only: bool = False
    is_repeatable: bool = True
    is_cancel: bool = False

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def redact(self, text: str) -> str:
        """Return a text without the request's own secrets, as they are or with the slashes escaped as in JSON."""
        for secret in self.secrets:
            text = text.replace(secret, "***").replace(secret.replace("/", "\\/"), "***")
        return text

    def response_limit(self, client_limit: int) -> int:
        """Return the size limit of the decoded response: the smaller of the request's own and the client's."""
        return client_limit if self.max_response_bytes is None else min(self.max_response_bytes, client_limit)

    def external_headers(self) -> dict[str, str]:
        """Return the headers that may go to the `external_url`."""
        return {
            name: value
            for name, value in self.headers
            if name.lower() in _EXTERNAL_HEADERS or name.lower().startswith(_EXTERNAL_PREFIXES)
        }

    def __repr__(self) -> str:
        # Tracebacks may show locals: no document, and no signed URL.
        return f"Request({self.method} {self.path})"


class DeliveryState:
    """Delivery state: tracks whether a request may have taken effect on the server.

    Attributes:
        is_sent: The current attempt was sent completely and has no response yet.
        in_doubt: An earlier attempt ended in that state, or with a response that leaves it open.
        resends: Sends of the current attempt beyond its first, after the server had closed a kept-alive connection.
        throttled: Responses that asked for fewer requests.
    """

    # Class attributes: each call makes one, and most set `is_sent` alone.
    is_sent: bool = False
    in_doubt: bool = False
    resends: int = 0
    throttled: int = 0

    @property
    def may_have_taken_effect(self) -> bool:
        """Whether the call may have taken effect."""
        return self.in_doubt or self.is_sent


def run_path(collection: str, run_id: object, verb: str = "") -> str:
    """Return the path of a run, or of a verb on it: `/v1/splits/splt_1/cancel`.

    Raises:
        InvalidRunIdError: The id could lead to another route or another run.
    """
    match = _RUN_ID.fullmatch(run_id) if isinstance(run_id, str) else None
    if match is None:
        msg = f"not a run id: {run_id!r:.200}; 1 to 128 letters, digits, _ and -, with a letter or digit first"
        raise InvalidRunIdError(msg)
    return f"{collection}/{match[0]}{verb}"


def cancel_request(collection: str, run_id: object, body: Body | None) -> Request:
    """Return the request that cancels a run.

    Raises:
        InvalidRunIdError: The id could lead to another route or another run.
    """
    return Request("POST", run_path(collection, run_id, CANCEL), "", MAX_CANCEL_BYTES, body, is_cancel=True)


def run_id_of(path: str) -> str | None:
    """Return the id of the run that a path names, None for the path of a collection or of another host."""
    segments = path.split("/")
    if segments[:2] != ["", "v1"]:
        return None
    if path.endswith(CANCEL):
        return segments[-2]
    # Collections and verbs are lower-case words.
    return next((segment for segment in segments[2:] if not (segment.isalpha() and segment.islower())), None)
