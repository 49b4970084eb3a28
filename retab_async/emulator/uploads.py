"""Uploads: announced, sent to their target, and completed into files."""

import secrets
from typing import Any

import attrs

from retab_async.emulator.clocks import Calendar, rfc_3339
from retab_async.emulator.files import File, guess_media_type, new_file_id
from retab_async.emulator.responses import HTTPError

SESSION_SECONDS = 3600.0


@attrs.frozen
class UploadedBody:
    """Size and digest of the bytes of a PUT, and the bytes themselves unless they are too many."""

    size: int
    sha256: str
    content: bytes | None = None


@attrs.define(kw_only=True, eq=False)
class Upload:
    """Upload session.

    Attributes:
        announced: The file as it was announced; its digest is empty if none was given.
        signature: The token in the URL of its target.
        expires_at: Time at which the session expires.
        body: What the last PUT brought.
        file: The file, once completed.
    """

    announced: File
    signature: str = attrs.field(factory=lambda: secrets.token_hex(16))
    expires_at: float
    body: UploadedBody | None = None
    file: File | None = None

    @classmethod
    def open(cls, fields: dict[str, Any], calendar: Calendar) -> "Upload":
        """Open a session for a validated request."""
        now = calendar.now()
        announced = File(
            id=new_file_id(),
            filename=fields["filename"],
            mime_type=fields["content_type"] or guess_media_type(fields["filename"]),
            size=fields["size_bytes"],
            sha256=fields["sha256"].lower(),
            created_at=calendar.date(now),
        )
        return cls(announced=announced, expires_at=now + SESSION_SECONDS)

    def view(self, target: str, calendar: Calendar) -> dict[str, Any]:
        """Render how to send the bytes; only this response is in camelCase."""
        return {
            "fileId": self.announced.id,
            "uploadUrl": target,
            "uploadMethod": "PUT",
            "uploadHeaders": {"Content-Type": self.announced.mime_type},
            "mimeData": self.announced.mime_data(),
            "expiresAt": rfc_3339(calendar.date(self.expires_at)),
        }

    def complete(self, sha256: str, now: float) -> File:
        """Complete the session once; rejects an expired one, and bytes other than announced."""
        if self.file is None:
            self.file = self._verified(sha256.lower(), now)
        return self.file

    def _verified(self, sha256: str, now: float) -> File:
        announced, sent = self.announced, self.body
        if now >= self.expires_at:
            raise HTTPError(410, "The upload has expired.")
        if sent is None:
            raise HTTPError(422, "Nothing was uploaded.")
        if sent.size != announced.size:
            raise HTTPError(422, f"{announced.size} bytes were announced and {sent.size} uploaded.")
        if announced.sha256 and not sha256:
            raise HTTPError(422, "The sha256 announced has to be given again.")
        if {announced.sha256, sha256} - {"", sent.sha256}:
            raise HTTPError(422, "The sha256 is not that of the bytes uploaded.")
        return attrs.evolve(announced, sha256=sent.sha256)


class UploadStore:
    """Upload sessions by the ids of their files."""

    def __init__(self) -> None:
        self._by_id: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Add a session."""
        self._by_id[upload.announced.id] = upload

    def find(self, file_id: str) -> Upload:
        """Return the session for a file id, or reject with 404."""
        upload = self._by_id.get(file_id)
        if upload is None:
            raise HTTPError(404, "Upload not found")
        return upload

    def authorize(self, file_id: str, signature: str) -> Upload:
        """Return the session with this id and signature, or reject with 403 whichever is wrong."""
        upload = self._by_id.get(file_id)
        if upload is None or upload.signature != signature:
            raise HTTPError(403, "The signature does not match.")
        return upload
