"""Documents given by their URL: an https one is passed on, the data of a `data:` one are decoded."""

import re
from base64 import b64decode
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, unquote_to_bytes, urlsplit

from retab_async.documents.sources import last_part, written
from retab_async.errors import InvalidDocumentError
from retab_async.models import MIMEData

# Of at least two letters: `C://x` is a path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DATA = "data:"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
# Decoded at once: a multiple of 4, and few enough not to hold the interpreter for long.
_PIECE = 512 * 1024

_ADVICE = {
    "http": "the API fetches over https alone: give its https:// address, or download it and pass its bytes",
    "file": "pass the path by itself",
}
_OTHERWISE = "make a signed https:// URL of it, or download it and pass its bytes"


class DataURL(NamedTuple):
    """What a `data:` URL holds; the media type is empty where it declares none."""

    media_type: str
    content: bytes


def is_data_url(url: str) -> bool:
    """Tell whether a text is a `data:` URL."""
    return url[: len(_DATA)].lower() == _DATA


def remote_document(document: object) -> MIMEData | None:
    """Return the name and URL of a document that the API is to fetch, None for one whose bytes are to be sent.

    Raises `InvalidDocumentError` for URLs that the API does not fetch, and for `MIMEData` that say too little.
    """
    if isinstance(document, MIMEData):
        return _passed_on(document)
    if isinstance(document, str) and _SCHEME.match(document):
        return _link(last_part(unquote(_parts(document).path)), document)
    return None


def _passed_on(document: MIMEData) -> MIMEData | None:
    filename, url = document.filename, document.url
    if not isinstance(filename, str) or not filename.strip():
        msg = "the filename of a MIMEData must be a text that is not blank"
        raise InvalidDocumentError(msg)
    if not isinstance(url, str) or not (is_data_url(url) or _SCHEME.match(url)):
        msg = "the url of a MIMEData must be an https:// or data: URL; a path is a document by itself"
        raise InvalidDocumentError(msg)
    if is_data_url(url):
        return None
    _parts(url)
    return _link(filename, url)


def _link(filename: str, url: str) -> MIMEData:
    return MIMEData(filename=written(filename) or "document", url=url)


def _parts(url: str) -> SplitResult:
    scheme = url.partition(":")[0].lower()
    # The URL itself stays out of the messages: it may be signed.
    if scheme != "https":
        msg = f"a document cannot be given by a {scheme}:// URL: {_ADVICE.get(scheme, _OTHERWISE)}"
        raise InvalidDocumentError(msg)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if not parts.hostname or not url.isprintable():
        msg = "this https:// URL of a document has no host, or letters in it that no URL has"
        raise InvalidDocumentError(msg)
    return parts


def decode_data_url(url: str) -> DataURL:
    """Return what a `data:` URL holds; `InvalidDocumentError` where that is nothing, or cannot be decoded."""
    head, comma, payload = url[len(_DATA) :].partition(",")
    if not comma:
        msg = "this data: URL has no comma, and so no data"
        raise InvalidDocumentError(msg)
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    try:
        content = _from_base64(payload) if "base64" in parameters else unquote_to_bytes(payload)
    except ValueError as error:
        msg = f"the data of this data: URL cannot be decoded: {error}"
        raise InvalidDocumentError(msg) from error
    if not content:
        msg = "this data: URL has no data"
        raise InvalidDocumentError(msg)
    return DataURL(media_type if _MEDIA_TYPE.fullmatch(media_type) else "", content)


def _from_base64(payload: str) -> bytes:
    payload = unquote(payload) if "%" in payload else payload
    starts = range(0, len(payload), _PIECE)
    pieces = [b64decode(payload[start : start + _PIECE], validate=True) for start in starts]
    if any(len(piece) != _PIECE // 4 * 3 for piece in pieces[:-1]):
        msg = "padding before the end"
        raise ValueError(msg)
    return b"".join(pieces)
