"""Headers of the user, sent to the API with every request: validation and merging."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from retab_async.errors import ConfigurationError

_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_FRAMING = "the client sets it for each request"
# Headers that a user cannot set, and what to do instead.
_OWN_HEADERS = {
    "api-key": "pass api_key",
    "authorization": "pass bearer_token",
    "user-agent": "pass user_agent",
    "idempotency-key": "pass idempotency_key to the call",
    "proxy-authorization": "put user and password into the URL of the proxy",
    **dict.fromkeys(
        (
            "accept",
            "accept-encoding",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "expect",
            "host",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
        _FRAMING,
    ),
}


def resolve_headers(headers: Any) -> tuple[tuple[str, str], ...]:
    """Return the user's headers as pairs, or raise `ConfigurationError` for one that the client must not send."""
    if headers is None:
        return ()
    if not isinstance(headers, Mapping):
        msg = f"headers must be a mapping of names to values, not a {type(headers).__name__}"
        raise ConfigurationError(msg)
    for name, value in headers.items():
        problem = _header_problem(name, value)
        if problem:
            # Without the value, which may be a secret.
            msg = f"headers must not have {name!r:.100}: {problem}"
            raise ConfigurationError(msg)
    return merge_headers((), headers.items())


def _header_problem(name: Any, value: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        return "it is not the name of a header"
    if name.lower() in _OWN_HEADERS:
        return _OWN_HEADERS[name.lower()]
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
        return "its value must be printable ASCII without blanks around it"
    return ""


def merge_headers(old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return old headers and new ones, which replace those of the same name in any case."""
    by_name = {name.lower(): (name, value) for name, value in (*old, *new)}
    return tuple(by_name.values())
