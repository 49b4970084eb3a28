"""Uploads under way: announced, sent to their target, and completed into files."""

import secrets
from typing import Any

import attrs

from retab_async.emulator.answers import HTTPError
from retab_async.emulator.clocks import Calendar, rfc_3339
from retab_async.emulator.files import File, guessed_type, new_file_id

LIFETIME = 3600.0


@attrs.frozen
class Sent:
    """What a PUT brought."""

    size: int
    sha256: str


@attrs.define(kw_only=True, eq=False)
class Upload:
    """One upload: the file it was announced to become, the signature of its target, and what was sent last.

    The digest of `announced` is empty where none was given.
    """

    announced: File
    signature: str = attrs.field(factory=lambda: secrets.token_hex(16))
    until: float
    sent: Sent | None = None
    file: File | None = None

    @classmethod
    def of(cls, asked: dict[str, Any], calendar: Calendar) -> "Upload":
        """Open an upload for a request that has been read."""
        now = calendar.now()
        announced = File(
            id=new_file_id(),
            filename=asked["filename"],
            mime_type=asked["content_type"] or guessed_type(asked["filename"]),
            size=asked["size_bytes"],
            sha256=asked["sha256"].lower(),
            created_at=calendar.date(now),
        )
        return cls(announced=announced, until=now + LIFETIME)

    def view(self, target: str, calendar: Calendar) -> dict[str, Any]:
        """Show how to send the bytes, in the camelCase of this one answer."""
        return {
            "fileId": self.announced.id,
            "uploadUrl": target,
            "uploadMethod": "PUT",
            "uploadHeaders": {"Content-Type": self.announced.mime_type},
            "mimeData": self.announced.mime_data(),
            "expiresAt": rfc_3339(calendar.date(self.until)),
        }

    def complete(self, sha256: str, now: float) -> File:
        """Make the file, once; refuses what is late, or not what was announced here or in step 1."""
        if self.file is None:
            self.file = self._checked(sha256.lower(), now)
        return self.file

    def _checked(self, sha256: str, now: float) -> File:
        announced, sent = self.announced, self.sent
        if now >= self.until:
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


class Uploads:
    """The uploads by the ids of their files to be."""

    def __init__(self) -> None:
        self._by_id: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Let `upload` be found from now on."""
        self._by_id[upload.announced.id] = upload

    def find(self, file_id: str) -> Upload:
        """Find an upload, or refuse."""
        upload = self._by_id.get(file_id)
        if upload is None:
            raise HTTPError(404, "Upload not found")
        return upload

    def signed(self, file_id: str, signature: str) -> Upload:
        """Find an upload for whoever has its signature, or refuse without saying what is wrong."""
        upload = self._by_id.get(file_id)
        if upload is None or upload.signature != signature:
            raise HTTPError(403, "The signature does not match.")
        return upload
