"""Client settings: validation, defaults and environment variables."""

import ipaddress
import math
import os
import re
import socket
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from ssl import SSLContext
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass, proxy_bypass_environment  # type: ignore[attr-defined]

from retab_async.errors import ConfigurationError
from retab_async.headers import merge_headers, resolve_headers
from retab_async.version import VERSION

# Bytes of one decoded response.
DEFAULT_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_DEFAULT_BASE_URL = "https://api.retab.com"
# Shorter secrets are test values, and would match inside ordinary words.
_MIN_SECRET_LENGTH = 8
# Of one character: eight backslashes and `u0073`.
_MAX_ESCAPED_BYTES = 13
# Characters that JSON escapes by one backslash.
_SHORT_ESCAPES = '"\\/'
_PIECE_BYTES = 64 * 1024
_PRINTABLE = r"[!-~]+"

# Suffixes of names that resolve only on one machine or in one network.
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
# The numbers that systems read as IPv4 addresses, such as 127.1 and 0x7f000001.
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)


class SecretStr(str):
    """A string hidden in its repr, so that a traceback with locals does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def as_secret(text: str | None) -> str | None:
    """Return a string as `SecretStr`, any other value unchanged."""
    return SecretStr(text) if isinstance(text, str) else text


class Credential(NamedTuple):
    """The authentication header of a client: hidden in its repr, never pickled."""

    header: str
    value: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.header})"

    @property
    def fingerprint(self) -> str:
        """A hash of the secret, to tell accounts apart in files."""
        return blake2b(self.secret.encode(), digest_size=16, person=b"retab_async").hexdigest()

    def __reduce__(self) -> NoReturn:
        msg = "a client holds a key and cannot be pickled or copied: make one in each process"
        raise TypeError(msg)

    def redact(self, text: str) -> str:
        """Return a text of the server without the secret, literal or escaped as in JSON."""
        if len(self.secret) < _MIN_SECRET_LENGTH:
            return text
        # The pattern goes first, because it also removes the backslash before a quote.
        text = re.sub(_escaped_pattern(self.secret), "***", text) if "\\" in text else text
        # A secret with a backslash is escaped wherever JSON quotes it.
        return text if "\\" in self.secret else text.replace(self.secret, "***")

    def redact_body(self, body: bytes) -> bytes:
        """Return a body without the secret, as `redact` does; JSON stays JSON."""
        return b"".join(self.redact_pieces(body))

    def redact_pieces(self, body: bytes) -> Iterator[bytes]:
        """Yield such a body in pieces, each of which takes a few milliseconds."""
        if len(self.secret) < _MIN_SECRET_LENGTH:
            yield body
            return
        position = 0
        while position < len(body):
            end = position + _PIECE_BYTES
            pieces: list[bytes] = []
            # A secret that begins in this piece may end in the next one.
            for first, last in self._find(body, position, end + _MAX_ESCAPED_BYTES * len(self.secret)):
                if first >= end:
                    break
                pieces += body[position:first], b"***"
                position = last
            pieces.append(body[position:end])
            position = max(position, end)
            yield b"".join(pieces)

    def _find(self, body: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        escaped, escapes = _body_patterns(self.secret)
        # The search for all forms is slow, and an escape of one of the secret's characters is rare.
        if body.find(b"\\", start, end) >= 0 and ("\\" in self.secret or escapes.search(body, start, end)):
            yield from (found.span() for found in escaped.finditer(body, start, end))
            return
        secret = self.secret.encode()
        while (at := body.find(secret, start, end)) >= 0:
            start = at + len(secret)
            yield at, start


@lru_cache(maxsize=64)
def _escaped_pattern(secret: str) -> str:
    # Each character as it is or behind backslashes, `\u0073` or `\\u0073` for `s`, for JSON quoted within JSON.
    forms = ((re.escape(char), _unicode_escape(char)) for char in secret)
    return "".join(rf"(?:\\{{1,8}}(?:{escape}|{char})|{char})" for char, escape in forms)


@lru_cache(maxsize=64)
def _body_patterns(secret: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return the patterns of all forms of a secret, and of an escape of one of its characters."""
    marks = {_unicode_escape(char) for char in secret} | {re.escape(char) for char in secret if char in _SHORT_ESCAPES}
    escapes = rf"\\(?:{'|'.join(sorted(marks))})"
    return re.compile(_escaped_pattern(secret).encode()), re.compile(escapes.encode())


def _unicode_escape(char: str) -> str:
    return f"u00(?i:{ord(char):02x})"


class Settings(NamedTuple):
    """Validated settings of one client."""

    credential: Credential
    base_url: str
    proxy: str | None
    timeout: float
    user_agent: str
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    # The caller's own, sent to the API with every request.
    headers: tuple[tuple[str, str], ...] = ()
    # The proxies of the environment by scheme, read once; None if `proxy` was given.
    environment: Mapping[str, str | None] | None = None

    def __repr__(self) -> str:
        # Without the proxy, whose URL may hold a password.
        return f"Settings({self.base_url}, {self.credential}, timeout={self.timeout:g})"

    @classmethod
    def resolve(  # noqa: PLR0913 - one parameter for each setting
        cls,
        *,
        api_key: str | None,
        bearer_token: str | None,
        base_url: str | None,
        proxy: str | Literal[False] | None,
        timeout: float,
        user_agent: str | None,
        allow_http: bool = False,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        headers: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Validate settings and take defaults from the environment.

        Args:
            api_key: Sent as `Api-Key`; default `RETAB_API_KEY`.
            bearer_token: Sent as `Authorization: Bearer`, instead of an API key.
            base_url: Address of the API; default `RETAB_API_BASE_URL`, or https://api.retab.com.
            proxy: URL of an HTTP proxy, False for none; default is the environment's.
            timeout: Seconds for one attempt.
            user_agent: Suffix of the library's own User-Agent.
            allow_http: Accept an http:// `base_url` beyond loopback; default `RETAB_API_ALLOW_HTTP`, or False.
            max_response_bytes: Size limit of one decoded response.
            headers: Headers to send to the API with every request.

        Raises:
            ConfigurationError: A setting cannot work; the message says what to do.
        """
        address = _resolve_base_url(base_url, allow_http=_resolve_allow_http(allow_http))
        environment = {name: as_secret(url) for name, url in getproxies().items()} if proxy is None else None
        return cls(
            credential=_resolve_credential(api_key, bearer_token),
            base_url=address,
            proxy=_check_proxy("proxy", None if proxy is False else proxy)
            if environment is None
            else _proxy_of(address, environment),
            timeout=check_seconds("timeout", timeout),
            user_agent=_resolve_user_agent(user_agent),
            max_response_bytes=check_count("max_response_bytes", max_response_bytes),
            headers=resolve_headers(headers),
            environment=environment,
        )

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy for a URL of another host: `no_proxy` of the environment applies to each host."""
        return self.proxy if self.environment is None else _proxy_of(url, self.environment)

    def replace(
        self,
        *,
        api_key: str | None,
        bearer_token: str | None,
        timeout: float | None,
        user_agent: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Return a copy with the settings that are not None changed, and headers added to those that there are.

        The environment is not read again.
        """
        changes: dict[str, Any] = {}
        if api_key is not None or bearer_token is not None:
            changes["credential"] = _resolve_credential(api_key, bearer_token)
        if timeout is not None:
            changes["timeout"] = check_seconds("timeout", timeout)
        if user_agent is not None:
            changes["user_agent"] = _resolve_user_agent(user_agent)
        if headers is not None:
            changes["headers"] = merge_headers(self.headers, resolve_headers(headers))
        return self._replace(**changes)


def check_count(name: str, value: int) -> int:
    """Return an integer of at least 1, or raise `ConfigurationError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"{name} must be an integer of at least 1, not {value!r}"
        raise ConfigurationError(msg)
    return value


def check_seconds(name: str, value: float) -> float:
    """Return a finite number of seconds above 0, or raise `ConfigurationError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        msg = f"{name} must be a finite number of seconds above 0, not {value!r}"
        raise ConfigurationError(msg)
    return value


def _resolve_credential(api_key: str | None, bearer_token: str | None) -> Credential:
    if api_key is not None and bearer_token is not None:
        msg = "give api_key or bearer_token, not both: one is sent as Api-Key, the other as Authorization"
        raise ConfigurationError(msg)
    if bearer_token is not None:
        token = str(_checked_secret("bearer_token", bearer_token))
        return Credential("Authorization", f"Bearer {token}", token)
    name = "api_key"
    if api_key is None:
        name, api_key = "RETAB_API_KEY", as_secret(os.environ.get("RETAB_API_KEY"))
    if api_key is None:
        msg = 'no API key: set RETAB_API_KEY, or pass AsyncRetab(api_key="...")'
        raise ConfigurationError(msg)
    key = str(_checked_secret(name, api_key))
    return Credential("Api-Key", key, key)


def _checked_secret(name: str, secret: str) -> str:
    # No message quotes the secret.
    if not isinstance(secret, str) or not secret:
        msg = f"{name} is empty or not a string: it must be the key as Retab shows it"
        raise ConfigurationError(msg)
    if not re.fullmatch(_PRINTABLE, secret):
        msg = f"{name} contains blanks, line breaks or non-ASCII characters: pass the key alone, stripped"
        raise ConfigurationError(msg)
    return secret


def check_connection(*, session: Any, ssl: Any, trace_configs: Any) -> None:
    """Validate the settings that are handed to aiohttp, or raise `ConfigurationError`."""
    if "aiohttp_retry" in type(session).__module__:
        msg = "session must be an aiohttp.ClientSession, not a RetryClient: for retries, pass retry=RetryPolicy(...)"
    elif session is not None and not _is_session(session):
        msg = f"session must be an open aiohttp.ClientSession, or None, not {session!r:.200}"
    elif not isinstance(ssl, SSLContext | bool):
        msg = f"ssl must be an SSLContext, or False, not {ssl!r:.200}: pass ssl.create_default_context(cafile=PATH)"
    elif not _are_trace_configs(trace_configs):
        msg = f"trace_configs must be a list of aiohttp.TraceConfig, or () for none, not {trace_configs!r:.200}"
    elif session is not None and (ssl is not True or trace_configs):
        msg = "ssl and trace_configs belong to the session that you pass: set them there"
    else:
        return
    raise ConfigurationError(msg)


def _are_trace_configs(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(hasattr(each, "on_request_start") for each in value)


def _is_session(session: Any) -> bool:
    return callable(getattr(session, "request", None)) and isinstance(getattr(session, "closed", None), bool)


def _resolve_allow_http(allow_http: Any) -> bool:
    if not isinstance(allow_http, bool):
        msg = f"allow_http must be True or False, not {allow_http!r:.200}"
        raise ConfigurationError(msg)
    return allow_http or os.environ.get("RETAB_API_ALLOW_HTTP", "").lower() in {"1", "true", "yes"}


def _resolve_base_url(base_url: str | None, *, allow_http: bool) -> str:
    name = "base_url"
    if base_url is None and (from_env := os.environ.get("RETAB_API_BASE_URL")):
        name, base_url = "RETAB_API_BASE_URL", from_env
    parts = _split_url(name, _DEFAULT_BASE_URL if base_url is None else base_url)
    if parts.scheme == "http" and not allow_http and not is_loopback_host(parts.hostname or ""):
        msg = (
            f"{name} must use https: over http the key would be sent unencrypted to {parts.hostname}; "
            "in a private network, pass allow_http=True or set RETAB_API_ALLOW_HTTP=1"
        )
        raise ConfigurationError(msg)
    if parts.query or parts.fragment:
        msg = f"{name} must end with its path: remove ? and #"
        raise ConfigurationError(msg)
    path = re.sub(r"/v\d+$", "", parts.path.rstrip("/")).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _split_url(name: str, url: str) -> SplitResult:
    if _has_credentials(url):
        msg = f"{name} must not contain credentials: pass api_key or bearer_token"
        raise ConfigurationError(msg)
    if not _is_service_url(url):
        # A URL that cannot be parsed may still hold a password.
        shown = "" if "@" in str(url) else f", not {str(url) if isinstance(url, str) else url!r}"
        msg = f"{name} must be a URL such as {_DEFAULT_BASE_URL}{shown}"
        raise ConfigurationError(msg)
    return _read_url(url)


def _has_credentials(url: str) -> bool:
    parts = _read_url(url)
    return parts.username is not None or parts.password is not None


def _is_service_url(url: str) -> bool:
    parts = _read_url(url)
    if not isinstance(url, str):
        return False
    known = parts.scheme in {"http", "https"} and _is_host(parts.hostname)
    # `urlsplit` ignores what follows the bracket of an IPv6 address.
    is_bracketed = "]" not in parts.netloc or re.fullmatch(r"(.*@)?\[[^\[\]]+\](:\d*)?", parts.netloc) is not None
    return known and is_bracketed and re.fullmatch(_PRINTABLE, url) is not None


def parse_service_url(url: Any) -> SplitResult | None:
    """Return the parts of an http(s) URL with a valid host and without credentials, None for any other value."""
    return _read_url(url) if _is_service_url(url) and not _has_credentials(url) else None


def _read_url(url: Any) -> SplitResult:
    try:
        parts: SplitResult = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates the port
    except (ValueError, AttributeError, TypeError):
        return SplitResult("", "", "", "", "")
    return parts


def _is_host(name: str | None) -> bool:
    # A malformed host is rejected here, not at the first call.
    labels = (name or "").removesuffix(".").split(".")
    return _is_address(name or "") or all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in labels)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public_host(host: str) -> bool:
    """Tell whether a host may be on the public internet, by its name or address alone: nothing is looked up."""
    address = _address_of(host)
    if address is not None:
        return address.is_global and not address.is_multicast
    name = host.lower().removesuffix(".")
    return "." in name and not name.endswith(_LOCAL_SUFFIXES)


def is_loopback_host(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone."""
    address = _address_of(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    host = host.removesuffix(".")
    try:
        if _NUMERIC_HOST.fullmatch(host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        address = ipaddress.IPv6Address(host)
    except (ValueError, OSError):
        return None
    return address.ipv4_mapped or address.sixtofour or address


def _check_proxy(name: str, proxy: str | None) -> str | None:
    if proxy is None:
        return None
    if not _is_proxy(proxy):
        socks = ", not a SOCKS proxy" if _read_url(proxy).scheme.startswith("socks") else ""
        msg = f"{name} must be an http:// or https:// URL{socks}; proxy=False uses none"
        raise ConfigurationError(msg)
    return str(proxy)


def _proxy_variable(scheme: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    found = next((name for name in names if os.environ.get(name)), None)
    return f"the proxy in the environment ({found})" if found else "the proxy in the environment"


def _is_proxy(url: str) -> bool:
    parts = _read_url(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _proxy_of(url: str, environment: Mapping[str, str | None]) -> str | None:
    target = urlsplit(url)
    host = target.hostname or ""
    # Loopback traffic may be unencrypted because it stays on this machine: a proxy must not carry it off.
    if is_loopback_host(host) or _is_bypassed(host, environment):
        return None
    proxy = environment.get(target.scheme) or environment.get("all")
    if proxy and "://" not in proxy:
        proxy = as_secret(f"http://{proxy}")
    return _check_proxy(_proxy_variable(target.scheme), proxy)


def _is_bypassed(host: str, environment: Mapping[str, str | None]) -> bool:
    if "no" in environment:
        return bool(proxy_bypass_environment(host, dict(environment)))
    # The settings of the operating system, where it has any.
    return bool(proxy_bypass(host))


def as_secret_headers(headers: Any) -> Any:
    """Return a mapping of headers with values hidden in its repr, any other value unchanged."""
    if not isinstance(headers, Mapping):
        return headers
    return {name: as_secret(value) for name, value in headers.items()}


def _resolve_user_agent(suffix: str | None) -> str:
    product = f"retab-async/{VERSION}"
    if suffix is None:
        return product
    if not isinstance(suffix, str) or not re.fullmatch(r"[ -~]+", suffix):
        msg = "user_agent must be printable ASCII: it becomes part of a header"
        raise ConfigurationError(msg)
    return f"{product} {suffix}"
