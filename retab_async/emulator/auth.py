"""API key check and rate limit of the emulator."""

import math
from collections import deque
from typing import Any, Protocol

import attrs
from aiohttp import web

from retab_async.emulator.responses import HTTPError

# The signature in the URLs of the storage.
SIGNATURE = "X-Sig"
_CREDENTIALS = ("Api-Key", "Authorization")

UNAUTHORIZED: dict[str, Any] = {
    "code": "HTTP_EXCEPTION",
    "message": "An HTTP exception occurred.",
    "details": {"error": "Invalid API Key."},
}


def check_key(request: web.BaseRequest, required: str | None) -> None:
    """Reject a request without the `required` key, or without any key if that is None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = {request.headers.get("Api-Key", ""), token.strip() if scheme.lower() == "bearer" else ""}
    if not (required in given if required else any(given)):
        raise HTTPError(401, UNAUTHORIZED)


def reject_credentials(request: web.BaseRequest) -> None:
    """Reject a request to the storage that has the key of the API."""
    if any(name in request.headers for name in _CREDENTIALS):
        raise HTTPError(400, "This address takes a signature, and no credentials.")


@attrs.frozen
class RateLimit:
    """Sliding-window rate limit of the emulator: `limit` requests in any `per` seconds of its clock.

    Requests over the limit are answered 429 and do not count.

    Args:
        limit: Number of requests in a window, at least 1.
        per: Length of the window in seconds, 60 by default.
        retry_after: Whether a 429 has a `Retry-After` header, in whole seconds.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    per: float = attrs.field(default=60.0, validator=attrs.validators.gt(0), kw_only=True)
    retry_after: bool = attrs.field(default=True, kw_only=True)


class ClientRateLimit(Protocol):
    """Shape of the client's own `RateLimit`."""

    @property
    def requests(self) -> int:
        """Number of requests in a window."""

    @property
    def per(self) -> float:
        """Length of the window in seconds."""


def to_rate_limit(value: RateLimit | ClientRateLimit | None) -> RateLimit | None:
    """Convert a rate limit, also the client's own; TypeError for anything else."""
    if value is None or isinstance(value, RateLimit):
        return value
    requests, per = getattr(value, "requests", None), getattr(value, "per", None)
    if isinstance(requests, int) and isinstance(per, int | float):
        return RateLimit(requests, per=per)
    msg = f"rate_limit has to be a RateLimit such as RateLimit(300, per=60), not {value!r}"
    raise TypeError(msg)


class RateLimiter:
    """Sliding-window limiter: rejects the requests over a `RateLimit`."""

    def __init__(self, rule: RateLimit) -> None:
        self._rule = rule
        self._admitted: deque[float] = deque()

    def check(self, now: float) -> None:
        """Count a request that arrives at `now`, or reject it with 429."""
        rule, admitted = self._rule, self._admitted
        while admitted and now - admitted[0] >= rule.per:
            admitted.popleft()
        if len(admitted) < rule.limit:
            admitted.append(now)
            return
        wait = math.ceil(admitted[0] + rule.per - now)
        headers = {"Retry-After": str(max(1, wait))} if rule.retry_after else {}
        raise HTTPError(429, f"Rate limit exceeded: {rule.limit} requests per {rule.per:g} s.", headers)
