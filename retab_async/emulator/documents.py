"""Documents of a run: loading them from a URL or a file id, and what was received."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn
from urllib.parse import unquote_to_bytes

import attrs

from retab_async.emulator.files import STORAGE_URL, File, FileStore, guess_media_type
from retab_async.emulator.responses import HTTPError, problem
from retab_async.emulator.run_timeline import RunTimeline
from retab_async.emulator.validation import Loc


@attrs.frozen
class ReceivedDocument:
    """Document as the emulator received it.

    Attributes:
        filename: The name sent with it.
        mime_type: The MIME type.
        size: The size in bytes; 0 for a document on another server.
        sha256: The digest in hexadecimal; empty for a document on another server.
    """

    filename: str
    mime_type: str
    size: int
    sha256: str


@attrs.frozen
class AttachedDocument:
    """Document of a run: its file, under the name in the request."""

    filename: str
    file: File

    def to_received(self) -> ReceivedDocument:
        """Describe the document as `Emulator.document_of` does."""
        return ReceivedDocument(self.filename, self.file.mime_type, self.file.size, self.file.sha256)

    def view(self) -> dict[str, str]:
        """Render the document as in a run."""
        return {"id": self.file.id, "filename": self.filename, "mime_type": self.file.mime_type}


@attrs.frozen
class DocumentLoader:
    """Loads the documents of a new run; rejects those that cannot be loaded."""

    files: FileStore
    timeline: RunTimeline
    date: datetime

    def load(self, document: dict[str, str], loc: Loc) -> AttachedDocument:
        """Load the document at `loc` of the request: a new file, unless its URL is one of the storage."""
        url = document["url"].lower()
        load = next(load for prefix, load in LOADERS if url.startswith(prefix))
        return AttachedDocument(document["filename"], load(self, document, (*loc, "url")))

    def load_file(self, file_id: str) -> AttachedDocument:
        """Load an existing file by its id."""
        file = self.files.find(file_id, self.timeline.created_at)
        return AttachedDocument(file.filename, file)

    def external(self, filename: str) -> AttachedDocument:
        """Make a document of which only the name is known."""
        return AttachedDocument(filename, self._empty_file(filename))

    def pending_output(self, filename: str) -> AttachedDocument:
        """Make the file that the run produces; it exists once the run has completed."""
        return AttachedDocument(filename, attrs.evolve(self._empty_file(filename), produced_by=self.timeline))

    def _empty_file(self, filename: str) -> File:
        return File(filename=filename, mime_type=guess_media_type(filename), size=0, sha256="", created_at=self.date)


def _load_inline(intake: DocumentLoader, document: dict[str, str], loc: Loc) -> File:
    head, comma, payload = document["url"][len("data:") :].partition(",")
    if not comma:
        _reject(loc, "A data URL has a comma before its data", "data_url")
    mime_type, *parameters = head.lower().split(";")
    content = _decode(payload, loc, _decode_base64 if "base64" in parameters else unquote_to_bytes)
    file = File(
        filename=document["filename"],
        mime_type=mime_type or guess_media_type(document["filename"]),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=intake.date,
    )
    intake.files.contents.add(file.id, content)
    return file


def _decode(payload: str, loc: Loc, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(payload)
    except ValueError as error:
        _reject(loc, f"The data of the URL cannot be decoded: {error}", "data_url")


def _decode_base64(payload: str) -> bytes:
    return base64.b64decode(payload, validate=True)


def _load_stored(intake: DocumentLoader, document: dict[str, str], loc: Loc) -> File:
    file = intake.files.find_by_url(document["url"], intake.timeline.created_at)
    if file is None:
        _reject(loc, "The storage holds no such file", "file_not_found")
    return file


def _load_remote(intake: DocumentLoader, document: dict[str, str], _: Loc) -> File:
    # Nothing is downloaded.
    return intake.external(document["filename"]).file


def _reject(loc: Loc, message: str, kind: str) -> NoReturn:
    raise HTTPError(422, [problem(loc, message, kind)]) from None


# The first matching prefix counts.
LOADERS: tuple[tuple[str, Callable[[DocumentLoader, dict[str, str], Loc], File]], ...] = (
    ("data:", _load_inline),
    (STORAGE_URL, _load_stored),
    ("https://", _load_remote),
)
