"""What to send: a request and its body, and what may have come of it."""

import re
from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from retab_async.errors import InvalidRunIdError

MIB = 1024 * 1024
CANCEL = "/cancel"
MAX_CANCEL_BYTES = MIB
MAX_RESULT_BYTES = 64 * MIB

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


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
    max_response_bytes: int = MAX_RESULT_BYTES
    body: Body | None = None
    idempotency_key: str | None = None
    extra_seconds: float = 0.0
    external_url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    is_streamed: bool = False

    @property
    def is_cancel(self) -> bool:
        """Whether it cancels a run, and so ends what costs money."""
        return self.path.endswith(CANCEL)

    def __repr__(self) -> str:
        # Tracebacks may show locals: no document, and no address that is signed.
        return f"Request({self.method} {self.path})"


class DeliveryState:
    """What a call may have brought about so far, for whoever has to clean up after it.

    `under_way`: the request has been handed over whole and nothing has come back. `in_doubt`: an earlier attempt ended
    that way, or with an answer that does not tell.
    """

    __slots__ = ("in_doubt", "is_sent")

    def __init__(self, *, in_doubt: bool = False) -> None:
        self.in_doubt = in_doubt
        self.is_sent = False

    @property
    def may_have_taken_effect(self) -> bool:
        """Whether the call may have taken effect, as far as is known now."""
        return self.in_doubt or self.is_sent


def run_path(collection: str, run_id: object, verb: str = "") -> str:
    """Return the path of one run, or of a verb on it, with the id checked: `/v1/splits/splt_1/cancel`."""
    found = _RUN_ID.fullmatch(run_id) if isinstance(run_id, str) else None
    if found is None:
        msg = f"not a run id: {run_id!r:.200}; 1 to 128 letters, digits, _ and -, with a letter or digit first"
        raise InvalidRunIdError(msg)
    return f"{collection}/{found[0]}{verb}"
