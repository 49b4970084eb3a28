"""Schema generations: a JSON Schema from sample documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.models import Primitive
from retab_async.resources.base import RunResource
from retab_async.scope import RunScope
from retab_async.validation import drop_none, non_blank_str, non_empty_list, optional_str, strict_bool


@attrs.frozen(kw_only=True, repr=False)
class SchemaGeneration(Primitive):
    """A run that generates a schema; its `json_schema` is empty until it is completed."""

    object: str = "schema"
    json_schema: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    strict: bool = True


class SchemaGenerations(RunResource[SchemaGeneration]):
    """The schema generations of an account, which the API does not list: `/v1/schemas/generate`."""

    path = "/v1/schemas/generate"
    run_type = SchemaGeneration
    spec: KindSpec = KindSpec(id_prefix="sch", has_output=False, is_listed=False)

    async def create(
        self,
        *,
        documents: Sequence[Document],
        model: str = "retab-small",
        instructions: str | None = None,
        background: bool = False,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> SchemaGeneration:
        """Create a schema generation and return it.

        `POST /v1/schemas/generate`

        Args:
            documents: Samples for the schema, at least one; each as the `document` of other kinds.
            model: Name of the model, `retab-small` by default.
            instructions: Extra instructions for the model.
            background: True returns at once, for `wait` to follow; False returns the finished run.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.
            on_upload: Called with an `UploadProgress` whenever a part of the request, or of a large document that is
                uploaded before it, was sent.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        fields = _fields(documents, model, instructions, background=background)
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    # The official name.
    generate = create

    def running(
        self,
        *,
        documents: Sequence[Document],
        model: str = "retab-small",
        instructions: str | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[SchemaGeneration]:
        """Tie a background schema generation to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/schemas/generate`, `POST /v1/schemas/generate/{schema_generation_id}/cancel`
        """
        return self._running(
            _fields(documents, model, instructions, background=True), idempotency_key, extra_body, on_upload
        )


def _fields(documents: Sequence[Document], model: str, instructions: str | None, *, background: bool) -> dict[str, Any]:
    return drop_none(
        {
            "documents": [DocumentField(each) for each in non_empty_list("documents", documents, "document")],
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "background": strict_bool("background", background),
        }
    )
