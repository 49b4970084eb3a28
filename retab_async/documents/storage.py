"""Requests to storage services, at the signed URLs that the API gives."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from retab_async.documents.urls import is_beside_api
from retab_async.errors import RequestError
from retab_async.protocol import Request, Response

if TYPE_CHECKING:
    from retab_async.transport import Transport

# Shorter texts are no tokens, and would be found inside words.
_MIN_SECRET_LENGTH = 8


async def send_to_storage(transport: "Transport", request: Request) -> Response:
    """Send a request to its `external_url`, which no error and no log will quote.

    Args:
        transport: Sends the request; a URL beside its API may be local.
        request: The request; its headers may hold tokens.

    Raises:
        RequestError: It failed, or the response is larger than `max_response_bytes`.
    """
    request = _with_secrets(request, transport.base_url)
    try:
        return await transport.send(request)
    except RequestError as error:
        failure = attrs.evolve(error, message=request.redact(error.message))
    # Without its cause: aiohttp quotes whole URLs.
    raise failure


def _with_secrets(request: Request, base_url: str) -> Request:
    # Apart from the sending, whose frames an error keeps with their locals.
    url = request.external_url
    parts = urlsplit(url)
    return attrs.evolve(
        request,
        # How errors and logs name it: the path may contain a token as well.
        path=f"{parts.scheme}://{parts.netloc}/***",
        secrets=_secrets_of(url, request.headers),
        public_only=not is_beside_api(url, base_url),
    )


def _secrets_of(url: str, headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    # Every part that may be a token, the longest first.
    parts = urlsplit(url)
    texts = {parts.query, *parts.query.split("&"), *(value for _, value in parse_qsl(parts.query))}
    texts |= {parts.path, *parts.path.split("/"), *unquote(parts.path).split("/")}
    for name, value in headers:
        if not name.lower().startswith("content-"):
            texts |= {value, *value.split()}
    return tuple(sorted((text for text in texts if len(text) >= _MIN_SECRET_LENGTH), key=len, reverse=True))
