"""The files that there are: those uploaded, and those that came with a run."""

import mimetypes
import secrets
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import attrs

from retab_async.emulator.answers import RefusedError
from retab_async.emulator.clocks import rfc_3339

# What is below it means something inside the API alone.
STORAGE = "https://storage.retab.com/"
DOWNLOADS = "https://storage.googleapis.com/emulator/"
LINK_LIFETIME = "60 minutes"
ANY_TYPE = "application/octet-stream"


def new_file_id() -> str:
    """Make the id of a file to be."""
    return f"file_{secrets.token_hex(8)}"


def guessed_type(filename: str) -> str:
    """Tell the MIME type by the name of a file."""
    return mimetypes.guess_type(filename)[0] or ANY_TYPE


@attrs.frozen(kw_only=True)
class File:
    """One file; of its bytes there are only the size and the digest."""

    id: str = attrs.field(factory=new_file_id)
    filename: str
    mime_type: str
    size: int
    sha256: str
    created_at: datetime

    @property
    def stored_name(self) -> str:
        """Name the file as the storage does."""
        return self.id + quote(PurePosixPath(self.filename).suffix, errors="replace")

    @property
    def url(self) -> str:
        """Name the file as a document of a run."""
        return f"{STORAGE}org_emulator/{self.stored_name}"

    def mime_data(self) -> dict[str, str]:
        """Show the file as a document of a run."""
        return {"filename": self.filename, "url": self.url}

    def view(self) -> dict[str, Any]:
        """Show the file; nobody counts its pages here."""
        date = rfc_3339(self.created_at)
        return {
            "object": "file",
            "id": self.id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "created_at": date,
            "updated_at": date,
            "page_count": None,
        }

    def link(self) -> dict[str, Any]:
        """Show where the file could be had, if its bytes were kept."""
        return {
            "download_url": f"{DOWNLOADS}{self.stored_name}?X-Sig={secrets.token_hex(8)}",
            "expires_in": LINK_LIFETIME,
            "filename": self.filename,
            "mime_data": self.mime_data(),
        }


class Files:
    """Every file there is, by its id and by its place in the storage."""

    def __init__(self) -> None:
        self._by_id: dict[str, File] = {}
        self._by_url: dict[str, File] = {}

    def add(self, file: File) -> None:
        """Let `file` be found from now on."""
        self._by_id[file.id] = self._by_url[file.url] = file

    def find(self, file_id: str) -> File:
        """Find a file by its id, or refuse."""
        file = self._by_id.get(file_id)
        if file is None:
            raise RefusedError(404, "File not found")
        return file

    def stored(self, url: str) -> File | None:
        """Find a file by its place in the storage."""
        return self._by_url.get(url)
