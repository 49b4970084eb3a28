"""Which keys open the emulator."""

import math
from collections import deque

import attrs
from aiohttp import web

from retab_async.emulator.answers import HTTPError

UNAUTHORIZED = {
    "code": "HTTP_EXCEPTION",
    "message": "An HTTP exception occurred.",
    "details": {"error": "Invalid API Key."},
}


def check_key(request: web.BaseRequest, only: str | None) -> None:
    """Refuse a request without the `only` key, or without any when that is None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = {request.headers.get("Api-Key", ""), token.strip() if scheme.lower() == "bearer" else ""}
    if not (only in given if only else any(given)):
        raise HTTPError(401, UNAUTHORIZED)


@attrs.frozen
class RateLimit:
    """Admit `limit` requests in any `per` seconds of the emulator's clock.

    The others are answered 429, with a Retry-After in whole seconds unless `retry_after` is false; they do not count.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    per: float = attrs.field(default=60.0, validator=attrs.validators.gt(0), kw_only=True)
    retry_after: bool = attrs.field(default=True, kw_only=True)


class Window:
    """The requests admitted within the last stretch."""

    def __init__(self, rule: RateLimit) -> None:
        self._rule = rule
        self._admitted: deque[float] = deque()

    def admit(self, now: float) -> None:
        """Count a request in, or refuse it."""
        rule, admitted = self._rule, self._admitted
        while admitted and now - admitted[0] >= rule.per:
            admitted.popleft()
        if len(admitted) < rule.limit:
            admitted.append(now)
            return
        wait = math.ceil(admitted[0] + rule.per - now)
        headers = {"Retry-After": str(max(1, wait))} if rule.retry_after else {}
        raise HTTPError(429, f"Rate limit exceeded: {rule.limit} requests per {rule.per:g} s.", headers)
