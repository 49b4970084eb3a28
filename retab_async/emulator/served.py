"""The record of a request that was served."""

from typing import NamedTuple

from aiohttp import web


class Served(NamedTuple):
    """A request that was served; its status is None where no whole answer was sent.

    Its path goes without the `query`, which is as it was sent; `key` is its Idempotency-Key.
    """

    method: str
    path: str
    status: int | None
    query: str = ""
    key: str | None = None

    @classmethod
    def of(cls, request: web.BaseRequest, status: int | None) -> "Served":
        """Record a request with the status of its answer."""
        url = request.rel_url
        return cls(request.method, url.raw_path, status, url.raw_query_string, request.headers.get("Idempotency-Key"))
