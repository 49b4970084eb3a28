"""What the API says of a document that it has, by a URL: the reading of `MIMEData` and of links out of answers."""

import re
from typing import Any, TypeGuard
from urllib.parse import SplitResult, urlsplit

from retab_async.documents.sources import written
from retab_async.errors import InvalidDocumentError, InvalidRunIdError
from retab_async.models import FileRef, MIMEData
from retab_async.protocol import Request, Response, read_response, response_error, run_path
from retab_async.transport import Transport

# From the ? of a URL, escaped or not, to its end within JSON.
_QUERY = re.compile(r'(\?|\\u003f)[^\s"]*', re.IGNORECASE)


async def link_to(transport: Transport, file: FileRef) -> MIMEData:
    """Return by which name and URL a file that the API has is the document of another run.

    Raises `InvalidDocumentError` for an id that could lead elsewhere, `ResponseError` for an answer without such a URL.

    `GET /v1/files/{id}/download-link`
    """
    request = Request("GET", _path(file.id))
    response = unsigned(await transport.send(request, transport.ends()))
    value = read_response(response)
    told = value if isinstance(value, dict) else {}
    inner = told.get("mime_data")
    url = (inner.get("url") if isinstance(inner, dict) else None) or told.get("download_url")
    if not is_https(url):
        raise response_error(response, "the answer holds no https:// URL of the file", "mime_data.url")
    names = (file.filename, told.get("filename"), file.id)
    return MIMEData(filename=next(filter(None, (written(name) for name in names if isinstance(name, str)))), url=url)


def _path(file_id: object) -> str:
    try:
        return run_path("/v1/files", file_id, "/download-link")
    except InvalidRunIdError as error:
        msg = f"a FileRef whose id is no file's: {file_id!r:.200}; give the `file` of a run"
        raise InvalidDocumentError(msg) from error


def read_mime_data(response: Response) -> MIMEData:
    """Return the `MIMEData` that an answer is; `ResponseError` for one of another shape."""
    value = read_response(response)
    told = value if isinstance(value, dict) else {}
    filename, url = told.get("filename"), told.get("url")
    if not isinstance(filename, str) or not filename.strip():
        raise response_error(response, "filename: expected a text", "filename")
    if not is_https(url):
        raise response_error(response, "url: expected an https:// URL", "url")
    return MIMEData(filename=filename, url=url)


def unsigned(response: Response) -> Response:
    """Return a response that is quoted without the queries of URLs: who has such a signature has the file."""
    redact = response.redact
    return response._replace(redact=lambda text: _QUERY.sub("?***", redact(text)))


def is_https(url: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that begins as an https:// URL does."""
    return isinstance(url, str) and url[:8].lower() == "https://"


def split(url: Any) -> SplitResult:
    """Return the parts of a URL; all of them are empty where it has no host, or could not be sent as it is."""
    none = SplitResult("", "", "", "", "")
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url):
        return none
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port that is no number is found out only when it is read
    except ValueError:
        return none
    return parts if parts.hostname and "@" not in parts.netloc else none
