"""File blueprints: layout of an uploaded file."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from retab_async.api.kind import KindSpec
from retab_async.models import FileRef, Primitive, UploadedFile
from retab_async.resources.base import RunResource
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, optional_str, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class FileBlueprint(Primitive):
    """A run that makes a blueprint; its `output` is empty until it is completed, `mode` is deprecated by the API."""

    object: str = "file.blueprint"
    file: FileRef | None = None
    intent: str | None = None
    output: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    mode: str | None = None


class FileBlueprints(RunResource[FileBlueprint]):
    """The file blueprints of an account, which the API does not list: `/v1/files/blueprints`."""

    path = "/v1/files/blueprints"
    run_type = FileBlueprint
    spec: KindSpec = KindSpec(id_prefix="fbp", id_name="blueprint_id", is_listed=False)

    async def create(
        self,
        *,
        file_id: str | FileRef | UploadedFile,
        intent: str | None = None,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> FileBlueprint:
        """Create a file blueprint and return it.

        `POST /v1/files/blueprints`

        Args:
            file_id: Id of a file that the API has, or a result of `client.files`.
            intent: What the blueprint is for.
            background: True returns at once, for `wait` to follow; False returns the finished run.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        return await self._create(_fields(file_id, intent, background=background), idempotency_key, extra_body)

    def running(
        self,
        *,
        file_id: str | FileRef | UploadedFile,
        intent: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> RunScope[FileBlueprint]:
        """Tie a background file blueprint to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/files/blueprints`, `POST /v1/files/blueprints/{blueprint_id}/cancel`
        """
        return self._running(_fields(file_id, intent, background=True), idempotency_key, extra_body)


def _fields(file: str | FileRef | UploadedFile, intent: str | None, *, background: bool) -> dict[str, Any]:
    return drop_none(
        {
            "file_id": non_blank_str("file_id", file.id if isinstance(file, FileRef | UploadedFile) else file),
            "intent": optional_str("intent", intent),
            "background": strict_bool("background", background),
        }
    )
