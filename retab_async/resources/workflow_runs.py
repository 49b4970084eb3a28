"""Workflow runs: documents processed by the blocks of a workflow."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Unpack
from uuid import uuid4

import attrs

from retab_async import bulk
from retab_async.api.kind import KindSpec
from retab_async.documents import Document, DocumentField, UploadCallback
from retab_async.lifecycles import WorkflowFamilyRun
from retab_async.listing import RunPager
from retab_async.models import FileRef, RunStatus, SparseRepr
from retab_async.resources.base import DeletableRuns
from retab_async.scope import RunScope
from retab_async.validation import drop_none, json_object, non_blank_str, one_of, optional_int, reject, str_dict


@attrs.frozen(kw_only=True, repr=False)
class RunInputs(SparseRepr):
    """Inputs of a workflow run: documents and JSON, each by the id of its start block."""

    documents: Mapping[str, FileRef] = attrs.field(factory=dict, hash=False)
    json_data: Mapping[str, Any] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class WorkflowRun(WorkflowFamilyRun):
    """A workflow run; its state is its `lifecycle`, in which `awaiting_review` is a pause and not terminal."""

    inputs: RunInputs = RunInputs()
    metadata: Mapping[str, str] | None = attrs.field(default=None, hash=False)


class WorkflowRuns(DeletableRuns[WorkflowRun]):
    """The workflow runs of an account, always in the background: `/v1/workflows/runs`."""

    path = "/v1/workflows/runs"
    run_type = WorkflowRun
    spec: KindSpec = KindSpec(
        id_prefix="run",
        active_statuses=(RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.AWAITING_REVIEW),
        status_path=("lifecycle", "status"),
        has_output=False,
        # Lets the service recognise a cancel that is sent again.
        cancel_body=lambda: {"command_id": str(uuid4())},
        cancel_envelope="run",
        cancel_failure_marker=("cancellation_status", "cancellation_failed"),
    )

    async def create(
        self,
        *,
        workflow_id: str,
        documents: Mapping[str, Document] | None = None,
        json_inputs: Mapping[str, Any] | None = None,
        version: str = "production",
        metadata: Mapping[str, str] | None = None,
        sources: Literal["located", "cited"] | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> WorkflowRun:
        """Create a workflow run and return it at once, for `wait` to follow.

        `POST /v1/workflows/runs`

        Args:
            workflow_id: Id of the workflow.
            documents: Documents by the id of their start block.
            json_inputs: JSON values by the id of their start block.
            version: `production` (the default), `draft`, or the id of a version.
            metadata: Your own strings, by which `list` finds the run.
            sources: `located` or `cited` adds the place in the document to each value; None by default.
            idempotency_key: Key under which repeated calls create one run, for a day; a new UUID by default.
            extra_body: Further fields of the request, for those that the API added.
            on_upload: Called with an `UploadProgress` whenever a part of the request, or of a large document that is
                uploaded before it, was sent.

        Raises:
            InvalidRequestError: An argument that the API would reject; nothing was sent.
            RequestError: The call failed; if `in_doubt`, repeat it with its `idempotency_key`.
        """
        fields = _fields(workflow_id, documents, json_inputs, version, metadata, sources)
        return await self._create(fields, idempotency_key, extra_body, on_upload)

    def running(
        self,
        *,
        workflow_id: str,
        documents: Mapping[str, Document] | None = None,
        json_inputs: Mapping[str, Any] | None = None,
        version: str = "production",
        metadata: Mapping[str, str] | None = None,
        sources: Literal["located", "cited"] | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        on_upload: UploadCallback | None = None,
    ) -> RunScope[WorkflowRun]:
        """Tie a workflow run to a block of code; takes the arguments of `create`, see `RunScope`.

        `POST /v1/workflows/runs`, `POST /v1/workflows/runs/{run_id}/cancel`
        """
        fields = _fields(workflow_id, documents, json_inputs, version, metadata, sources)
        return self._running(fields, idempotency_key, extra_body, on_upload)

    def list(
        self,
        *,
        workflow_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        search: str | None = None,
        metadata: Mapping[str, str] | None = None,
        min_duration_ms: int | None = None,
        max_duration_ms: int | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[WorkflowRun]:
        """Return the workflow runs that match all filters; iterate with `async for`.

        See `ListedRuns.list`.

        `GET /v1/workflows/runs`

        Args:
            workflow_id: Only runs of this workflow.
            status: Only runs with this status.
            exclude_status: Only runs with another status.
            trigger_type: Only runs started by this trigger, such as `api` or `schedule`.
            search: Only runs whose id contains this.
            metadata: Only runs with all of these pairs.
            min_duration_ms: Only runs of at least this duration, in milliseconds.
            max_duration_ms: Only runs of at most this duration, in milliseconds.
            from_date: Only runs created on or after this `date` (from midnight UTC) or aware `datetime`,
                or an ISO 8601 string of either.
            to_date: Only runs created on or before this `date` (to the end of the day, UTC) or aware
                `datetime`, or an ISO 8601 string of either.
            order: `desc` (newest first) or `asc`.
            limit: Runs in a page, 1 to 100; not a limit on the total.
            before: Id to continue from, backward.
            after: Id to continue from, forward.
        """
        return self._list(
            workflow_id=workflow_id,
            status=status,
            exclude_status=exclude_status,
            trigger_type=trigger_type,
            search=search,
            metadata=str_dict("metadata", metadata),
            min_duration_ms=_milliseconds("min_duration_ms", min_duration_ms),
            max_duration_ms=_milliseconds("max_duration_ms", max_duration_ms),
            from_date=from_date,
            to_date=to_date,
            order=order,
            limit=limit,
            before=before,
            after=after,
        )

    def cancel_matching(
        self,
        *,
        workflow_id: str | None = None,
        status: RunStatus | str | None = None,
        exclude_status: RunStatus | str | None = None,
        trigger_type: str | None = None,
        search: str | None = None,
        metadata: Mapping[str, str] | None = None,
        min_duration_ms: int | None = None,
        max_duration_ms: int | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        **options: "Unpack[bulk.MatchingOptions]",
    ) -> "bulk.CancelJob[WorkflowRun]":
        """Cancel all workflow runs that match; by default those that are active.

        The filters are those of `list`, the options those of `ListedRuns.cancel_matching`.

        `GET /v1/workflows/runs`, `POST /v1/workflows/runs/{id}/cancel`
        """
        return self._cancel_matching(
            options,
            workflow_id=workflow_id,
            status=status,
            exclude_status=exclude_status,
            trigger_type=trigger_type,
            search=search,
            metadata=str_dict("metadata", metadata),
            min_duration_ms=_milliseconds("min_duration_ms", min_duration_ms),
            max_duration_ms=_milliseconds("max_duration_ms", max_duration_ms),
            from_date=from_date,
            to_date=to_date,
        )


def _milliseconds(name: str, value: int | None) -> str | None:
    return None if value is None else str(optional_int(name, value, least=0))


def _fields(
    workflow_id: str,
    documents: Mapping[str, Document] | None,
    json_inputs: Mapping[str, Any] | None,
    version: str,
    metadata: Mapping[str, str] | None,
    sources: str | None,
) -> dict[str, Any]:
    if documents is not None and not isinstance(documents, Mapping):
        reject("documents must be a mapping from ids of start blocks to documents")
    return drop_none(
        {
            "workflow_id": non_blank_str("workflow_id", workflow_id),
            "documents": {
                non_blank_str("the id of a start block", block_id): DocumentField(document)
                for block_id, document in documents.items()
            }
            if documents
            else None,
            "json_inputs": json_object("json_inputs", json_inputs) if json_inputs is not None else None,
            "version": non_blank_str("version", version),
            "metadata": str_dict("metadata", metadata),
            "sources": None if sources is None else {"mode": one_of("sources", sources, ("located", "cited"))},
        }
    )
