"""A run's document: the file behind its URL, wherever that leads, and what was received."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn
from urllib.parse import unquote_to_bytes

import attrs

from retab_async.emulator.answers import RefusedError, problem
from retab_async.emulator.files import STORAGE, File, Files, guessed_type


@attrs.frozen
class Received:
    """What came as a run's document; one that stays on a server elsewhere has the size 0 and no digest."""

    filename: str
    mime_type: str
    size: int
    sha256: str


def file_behind(document: dict[str, str], files: Files, date: datetime) -> File:
    """Give the file that a document's URL means, which is a new one unless the URL is of the storage."""
    place = document["url"].lower()
    return next(read for prefix, read in SOURCES if place.startswith(prefix))(document, files, date)


def _inline(document: dict[str, str], _: Files, date: datetime) -> File:
    head, comma, payload = document["url"][len("data:") :].partition(",")
    if not comma:
        _refuse("A data URL has a comma before its data", "data_url")
    mime_type, *parameters = head.lower().split(";")
    content = _decoded(payload, _from_base64 if "base64" in parameters else unquote_to_bytes)
    return File(
        filename=document["filename"],
        mime_type=mime_type or guessed_type(document["filename"]),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=date,
    )


def _decoded(payload: str, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(payload)
    except ValueError as error:
        _refuse(f"The data of the URL cannot be decoded: {error}", "data_url")


def _from_base64(payload: str) -> bytes:
    return base64.b64decode(payload, validate=True)


def _stored(document: dict[str, str], files: Files, _: datetime) -> File:
    file = files.stored(document["url"])
    if file is None:
        _refuse("The storage holds no such file", "file_not_found")
    return file


def _remote(document: dict[str, str], _: Files, date: datetime) -> File:
    # Nothing is fetched from here.
    name = document["filename"]
    return File(filename=name, mime_type=guessed_type(name), size=0, sha256="", created_at=date)


def _refuse(message: str, kind: str) -> NoReturn:
    raise RefusedError(422, [problem(("body", "document", "url"), message, kind)]) from None


# The first prefix that fits counts.
SOURCES: tuple[tuple[str, Callable[[dict[str, str], Files, datetime], File]], ...] = (
    ("data:", _inline),
    (STORAGE, _stored),
    ("https://", _remote),
)
