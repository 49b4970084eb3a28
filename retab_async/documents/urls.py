"""URLs of documents: https URLs are passed on, `data:` URLs are decoded, and those in answers are checked."""

import re
from base64 import b64decode
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import SplitResult, unquote, unquote_to_bytes, urlsplit

from retab_async.documents.sources import basename, clean_filename
from retab_async.errors import InvalidDocumentError
from retab_async.models import MIMEData
from retab_async.settings import is_loopback_host, is_public_host, parse_service_url

# At least two letters: `C://x` is a path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DATA = "data:"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
# Characters decoded at once: a multiple of 4, and few enough not to hold the interpreter for long.
_PIECE_SIZE = 512 * 1024

_ADVICE = {
    "http": "the API fetches documents only over https: give the https:// URL, or download it and pass its bytes",
    "file": "pass the path by itself",
}
_OTHER_ADVICE = "make a signed https:// URL of it, or download it and pass its bytes"


class DataURL(NamedTuple):
    """The content of a `data:` URL; the media type is empty if the URL declares none."""

    media_type: str
    content: bytes


def is_data_url(url: str) -> bool:
    """Tell whether a text is a `data:` URL."""
    return url[: len(_DATA)].lower() == _DATA


def is_https(url: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that begins as an https:// URL does and can be sent."""
    # Lone surrogates have no UTF-8.
    return isinstance(url, str) and url[:8].lower() == "https://" and url.isprintable()


def is_storage_url(url: Any, base_url: str) -> TypeGuard[str]:
    """Tell whether documents may be sent to, or read from, a URL in an answer.

    It must be https on a public host, or as the API itself: on its host, and then over http only if the API is.
    """
    parts = parse_service_url(url)
    if parts is None:
        return False
    if parts.scheme == "http":
        return base_url.startswith("http://") and is_beside_api(url, base_url)
    return is_beside_api(url, base_url) or is_public_host(parts.hostname or "")


def is_beside_api(url: str, base_url: str) -> bool:
    """Tell whether a URL is on the host of the API."""
    host, api_host = (urlsplit(each).hostname or "" for each in (url, base_url))
    return host == api_host or (is_loopback_host(host) and is_loopback_host(api_host))


def remote_document(document: object, filename: str = "") -> MIMEData | None:
    """Return the filename and URL of a document that the API fetches itself, None for one whose bytes are to be sent.

    Args:
        document: What the caller gave.
        filename: The filename to send; empty for the document's own.

    Raises:
        InvalidDocumentError: The API does not fetch this URL, or the `MIMEData` is incomplete.
    """
    if isinstance(document, MIMEData):
        return _remote_mime_data(document, filename)
    if isinstance(document, str) and _SCHEME.match(document):
        path = unquote(_parse_https(document).path)
        return _link(filename or basename(path), document)
    return None


def _remote_mime_data(document: MIMEData, filename: str) -> MIMEData | None:
    own_filename, url = document.filename, document.url
    if not isinstance(own_filename, str) or not own_filename.strip():
        msg = "the filename of a MIMEData must be a text that is not blank"
        raise InvalidDocumentError(msg)
    if not isinstance(url, str) or not (is_data_url(url) or _SCHEME.match(url)):
        msg = "the url of a MIMEData must be an https:// or data: URL; a path is a document by itself"
        raise InvalidDocumentError(msg)
    if is_data_url(url):
        return None
    _parse_https(url)
    return _link(filename or own_filename, url)


def _link(filename: str, url: str) -> MIMEData:
    return MIMEData(filename=clean_filename(filename) or "document", url=url)


def _parse_https(url: str) -> SplitResult:
    scheme = url.partition(":")[0].lower()
    # The messages do not quote the URL: it may be signed.
    if scheme != "https":
        msg = f"a document cannot be given by a {scheme}:// URL: {_ADVICE.get(scheme, _OTHER_ADVICE)}"
        raise InvalidDocumentError(msg)
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not url.isprintable():
        msg = "this https:// URL of a document has no valid host, or characters that no URL has"
        raise InvalidDocumentError(msg)
    return parts


def decode_data_url(url: str) -> DataURL:
    """Return the content of a `data:` URL; `InvalidDocumentError` if it is empty or cannot be decoded."""
    head, comma, payload = url[len(_DATA) :].partition(",")
    if not comma:
        msg = "this data: URL has no comma, and so no data"
        raise InvalidDocumentError(msg)
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    try:
        content = _decode_base64(payload) if "base64" in parameters else unquote_to_bytes(payload)
    except ValueError as error:
        msg = f"the data of this data: URL cannot be decoded: {error}"
        raise InvalidDocumentError(msg) from error
    if not content:
        msg = "this data: URL has no data"
        raise InvalidDocumentError(msg)
    return DataURL(media_type if _MEDIA_TYPE.fullmatch(media_type) else "", content)


def _decode_base64(payload: str) -> bytes:
    payload = unquote(payload) if "%" in payload else payload
    starts = range(0, len(payload), _PIECE_SIZE)
    pieces = [b64decode(payload[start : start + _PIECE_SIZE], validate=True) for start in starts]
    if any(len(piece) != _PIECE_SIZE // 4 * 3 for piece in pieces[:-1]):
        msg = "padding before the end"
        raise ValueError(msg)
    return b"".join(pieces)
