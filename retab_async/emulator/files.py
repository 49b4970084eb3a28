"""Files: those uploaded, those sent with a run, and those produced by runs."""

import mimetypes
import secrets
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import attrs

from retab_async.emulator.clocks import rfc_3339
from retab_async.emulator.responses import HTTPError
from retab_async.emulator.run_timeline import RunTimeline
from retab_async.emulator.store import OrderedStore

# URLs below it have a meaning only inside the API.
STORAGE_URL = "https://storage.retab.com/"
DOWNLOAD_URL = "https://storage.googleapis.com/emulator/"
LINK_LIFETIME = "60 minutes"
# Bytes of the contents that are kept, all together.
MAX_CONTENT = 64 * 1024 * 1024
DEFAULT_MEDIA_TYPE = "application/octet-stream"


def new_file_id() -> str:
    """Make the id of a new file."""
    return f"file_{secrets.token_hex(8)}"


def guess_media_type(filename: str) -> str:
    """Return the MIME type for the name of a file."""
    return mimetypes.guess_type(filename)[0] or DEFAULT_MEDIA_TYPE


@attrs.frozen(kw_only=True)
class File:
    """File; its content is kept apart, for a while.

    One `produced_by` a run exists once the run has completed.
    """

    id: str = attrs.field(factory=new_file_id)
    filename: str
    mime_type: str
    size: int
    sha256: str
    created_at: datetime
    produced_by: RunTimeline | None = attrs.field(default=None, eq=False)

    def exists(self, now: float) -> bool:
        """Return whether the file can be read yet."""
        return self.produced_by is None or self.produced_by.phase(now) == "completed"

    @property
    def stored_name(self) -> str:
        """The name of the file in the storage."""
        return self.id + quote(PurePosixPath(self.filename).suffix, errors="replace")

    @property
    def url(self) -> str:
        """The URL of the file in the storage."""
        return f"{STORAGE_URL}org_emulator/{self.stored_name}"

    def mime_data(self) -> dict[str, str]:
        """Render the file as a document of a run."""
        return {"filename": self.filename, "url": self.url}

    def view(self) -> dict[str, Any]:
        """Render the file; its pages are not counted."""
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

    def link(self, download_url: str) -> dict[str, Any]:
        """Render the download link."""
        return {
            "download_url": download_url,
            "expires_in": LINK_LIFETIME,
            "filename": self.filename,
            "mime_data": self.mime_data(),
        }


class ContentStore:
    """Contents of files by their ids, up to a total size; the oldest are dropped first."""

    def __init__(self, max_bytes: int = MAX_CONTENT) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._by_id: dict[str, bytes] = {}

    def add(self, file_id: str, content: bytes) -> None:
        """Keep a content, if it is not too large."""
        self._size += len(content) - len(self._by_id.pop(file_id, b""))
        self._by_id[file_id] = content
        while self._size > self._max_bytes:
            self._size -= len(self._by_id.pop(next(iter(self._by_id))))

    def find(self, file_id: str) -> bytes | None:
        """Return the content of a file, None if it is not kept."""
        return self._by_id.get(file_id)


class FileStore:
    """Files by id, by storage URL, and in order; those still to be produced included."""

    def __init__(self) -> None:
        self.ordered: OrderedStore[File] = OrderedStore()
        self.contents: ContentStore = ContentStore()
        self._by_url: dict[str, File] = {}

    def add(self, file: File) -> None:
        """Add `file`, unless it is there already."""
        if self.ordered.find(file.id) is None:
            self.ordered.add(file)
            self._by_url[file.url] = file

    def find(self, file_id: str, now: float) -> File:
        """Return the file with an id, or reject with 404."""
        file = self.ordered.find(file_id)
        if file is None or not file.exists(now):
            raise HTTPError(404, "File not found")
        return file

    def find_by_url(self, url: str, now: float) -> File | None:
        """Return the file with a storage URL."""
        file = self._by_url.get(url)
        return file if file is not None and file.exists(now) else None
