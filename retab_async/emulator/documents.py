"""A run's documents: the file behind a URL or an id, wherever that leads, and what was received."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn
from urllib.parse import unquote_to_bytes

import attrs

from retab_async.emulator.answers import HTTPError, problem
from retab_async.emulator.files import STORAGE, File, Files, guessed_type
from retab_async.emulator.run_timeline import RunTimeline
from retab_async.emulator.validation import Loc


@attrs.frozen
class ReceivedDocument:
    """What came as a run's document; one that stays on a server elsewhere has the size 0 and no digest."""

    filename: str
    mime_type: str
    size: int
    sha256: str


@attrs.frozen
class Attached:
    """A document of a run: its file, under the name that came with it."""

    filename: str
    file: File

    @property
    def received(self) -> ReceivedDocument:
        """What came."""
        return ReceivedDocument(self.filename, self.file.mime_type, self.file.size, self.file.sha256)

    def view(self) -> dict[str, str]:
        """Show the document as runs do."""
        return {"id": self.file.id, "filename": self.filename, "mime_type": self.file.mime_type}


@attrs.frozen
class Intake:
    """Takes the documents of a new run in; refuses those that cannot be had."""

    files: Files
    life: RunTimeline
    date: datetime

    def document(self, document: dict[str, str], loc: Loc) -> Attached:
        """Take in a document that was read at `loc`; its file is a new one unless its URL is of the storage."""
        place = document["url"].lower()
        read = next(read for prefix, read in SOURCES if place.startswith(prefix))
        return Attached(document["filename"], read(self, document, (*loc, "url")))

    def stored(self, file_id: str) -> Attached:
        """Take in a file that is there."""
        file = self.files.find(file_id, self.life.created)
        return Attached(file.filename, file)

    def elsewhere(self, filename: str) -> Attached:
        """Take in a file of which nothing is known but its name."""
        return Attached(filename, self._unread(filename))

    def to_come(self, filename: str) -> Attached:
        """Promise a file that the run makes, which is there once the run has completed."""
        return Attached(filename, attrs.evolve(self._unread(filename), made_by=self.life))

    def _unread(self, filename: str) -> File:
        return File(filename=filename, mime_type=guessed_type(filename), size=0, sha256="", created_at=self.date)


def _inline(intake: Intake, document: dict[str, str], loc: Loc) -> File:
    head, comma, payload = document["url"][len("data:") :].partition(",")
    if not comma:
        _refuse(loc, "A data URL has a comma before its data", "data_url")
    mime_type, *parameters = head.lower().split(";")
    content = _decoded(payload, loc, _from_base64 if "base64" in parameters else unquote_to_bytes)
    return File(
        filename=document["filename"],
        mime_type=mime_type or guessed_type(document["filename"]),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=intake.date,
    )


def _decoded(payload: str, loc: Loc, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(payload)
    except ValueError as error:
        _refuse(loc, f"The data of the URL cannot be decoded: {error}", "data_url")


def _from_base64(payload: str) -> bytes:
    return base64.b64decode(payload, validate=True)


def _stored(intake: Intake, document: dict[str, str], loc: Loc) -> File:
    file = intake.files.stored(document["url"], intake.life.created)
    if file is None:
        _refuse(loc, "The storage holds no such file", "file_not_found")
    return file


def _remote(intake: Intake, document: dict[str, str], _: Loc) -> File:
    # Nothing is fetched from here.
    return intake.elsewhere(document["filename"]).file


def _refuse(loc: Loc, message: str, kind: str) -> NoReturn:
    raise HTTPError(422, [problem(loc, message, kind)]) from None


# The first prefix that fits counts.
SOURCES: tuple[tuple[str, Callable[[Intake, dict[str, str], Loc], File]], ...] = (
    ("data:", _inline),
    (STORAGE, _stored),
    ("https://", _remote),
)
