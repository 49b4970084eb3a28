"""Files of an account together with their blueprints, as `client.files` has them."""

from collections.abc import Mapping
from typing import Any

from retab_async.models import FileRef, UploadedFile
from retab_async.official_names import explain_parameters
from retab_async.resources.file_blueprints import FileBlueprint, FileBlueprints
from retab_async.resources.files import Files
from retab_async.resources.namespace import member


@explain_parameters
class FilesAndBlueprints(Files):
    """The files of an account, and the blueprints made from them."""

    blueprints: FileBlueprints = member()

    async def create_blueprint(
        self,
        file_id: str | FileRef | UploadedFile,
        *,
        intent: str | None = None,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> FileBlueprint:
        """Create a file blueprint; the official name of `blueprints.create`.

        `POST /v1/files/blueprints`
        """
        return await self.blueprints.create(
            file_id=file_id,
            intent=intent,
            background=background,
            idempotency_key=idempotency_key,
            extra_body=extra_body,
        )

    async def get_blueprint(self, blueprint_id: str | FileBlueprint, *, include_output: bool = True) -> FileBlueprint:
        """Return a file blueprint; the official name of `blueprints.get`.

        `GET /v1/files/blueprints/{blueprint_id}`
        """
        return await self.blueprints.get(blueprint_id, include_output=include_output)

    async def create_blueprint_cancel(self, blueprint_id: str | FileBlueprint) -> FileBlueprint:
        """Cancel a file blueprint; the official name of `blueprints.cancel`.

        `POST /v1/files/blueprints/{blueprint_id}/cancel`
        """
        return await self.blueprints.cancel(blueprint_id)
