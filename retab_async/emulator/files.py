"""The files that there are: those uploaded, those that came with a run, and those that runs made."""

import mimetypes
import secrets
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import attrs

from retab_async.emulator.answers import HTTPError
from retab_async.emulator.clocks import rfc_3339
from retab_async.emulator.run_timeline import RunTimeline
from retab_async.emulator.store import OrderedStore

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
    """One file, of whose bytes there are only the size and the digest; one `made_by` a run comes when it completes."""

    id: str = attrs.field(factory=new_file_id)
    filename: str
    mime_type: str
    size: int
    sha256: str
    created_at: datetime
    made_by: RunTimeline | None = attrs.field(default=None, eq=False)

    def is_there(self, now: float) -> bool:
        """Tell whether anybody can have the file yet."""
        return self.made_by is None or self.made_by.phase(now) == "completed"

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
    """Every file there is or is to be, by its id, by its place in the storage, and in order."""

    def __init__(self) -> None:
        self.ordered: OrderedStore[File] = OrderedStore()
        self._by_url: dict[str, File] = {}

    def add(self, file: File) -> None:
        """Let `file` be found from now on; nothing changes for one that can be already."""
        if self.ordered.find(file.id) is None:
            self.ordered.add(file)
            self._by_url[file.url] = file

    def find(self, file_id: str, now: float) -> File:
        """Find a file by its id, or refuse."""
        file = self.ordered.find(file_id)
        if file is None or not file.is_there(now):
            raise HTTPError(404, "File not found")
        return file

    def stored(self, url: str, now: float) -> File | None:
        """Find a file by its place in the storage."""
        file = self._by_url.get(url)
        return file if file is not None and file.is_there(now) else None
