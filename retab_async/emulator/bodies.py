"""What comes in the body of a request."""

import json
from typing import Any

from aiohttp import web

from retab_async.emulator.answers import RefusedError, problem
from retab_async.emulator.checks import Field, Problems, object_of

MAX_BODY = 32 * 1024 * 1024


async def read_json(request: web.BaseRequest) -> Any:
    """Read the JSON of a request, or refuse it for its size or its form."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise RefusedError(413, "Request body is larger than 32 MiB.")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise RefusedError(422, [problem(("body",), "JSON decode error", "json_invalid")]) from None


def read_asked(fields: tuple[Field, ...], body: Any) -> dict[str, Any]:
    """Read the fields of a request's JSON, or refuse it with everything that is wrong with it."""
    problems: Problems = []
    asked: dict[str, Any] = object_of(*fields)(body, ("body",), problems)
    if problems:
        raise RefusedError(422, problems)
    return asked
