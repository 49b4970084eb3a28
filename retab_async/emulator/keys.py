"""Which keys open the emulator."""

from aiohttp import web

from retab_async.emulator.answers import RefusedError

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
        raise RefusedError(401, UNAUTHORIZED)
