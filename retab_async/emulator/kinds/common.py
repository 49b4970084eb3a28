"""Views, request fields and lists that several kinds share."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.filters import DATES, FILENAME, STATUS, TRIGGER, TRIGGER_TYPE, duration_ms
from retab_async.emulator.listing import Filter, ListSpec
from retab_async.emulator.runs import ONLY_DOCUMENT, Run
from retab_async.emulator.validation import (
    Field,
    any_str,
    boolean,
    bounded_int,
    document_url,
    non_blank_str,
    object_of,
    one_of,
)


def status_view(run: Run, now: float) -> dict[str, Any]:
    """Render only the status."""
    error = run.error if run.timeline.phase(now) == "failed" else None
    return {"id": run.id, "status": run.status(now), "error": error}


def document_run_view(
    echoed: tuple[str, ...], blank: Mapping[str, Any], make_results: Callable[[Run], dict[str, Any]]
) -> Callable[[Run, float], dict[str, Any]]:
    """Make the view of a run on one document.

    Args:
        echoed: The request fields that are repeated.
        blank: The result fields before completion.
        make_results: Generates the result fields of a completed run.
    """

    def view(run: Run, now: float) -> dict[str, Any]:
        return {
            **status_view(run, now),
            "file": run.document.view(),
            **{name: run.request[name] for name in echoed},
            **(make_results(run) if run.timeline.phase(now) == "completed" else blank),
            "created_at": run.format_time(run.timeline.created_at),
        }

    return view


def document_run_listing(*filters: Filter[Run]) -> ListSpec[Run]:
    """Make the list parameters of a kind with one document: the usual filters, and these."""
    return ListSpec(filters=(FILENAME, STATUS, *DATES, *filters))


def usage(pages: int, votes: int = 1) -> dict[str, float]:
    """Render the credits for pages, each read once for every vote."""
    return {"credits": float(pages * votes)}


def consensus(output: Any, votes: int, likelihoods: Any) -> dict[str, Any] | None:
    """Render identical votes; None for a single vote."""
    return {"likelihoods": likelihoods, "choices": [output] * votes} if votes > 1 else None


MIME_DATA = object_of(Field("filename", non_blank_str, required=True), Field("url", document_url, required=True))
DOCUMENT = Field("document", MIME_DATA, required=True)
MODEL = Field("model", non_blank_str, default="retab-small")
INSTRUCTIONS = Field("instructions", any_str)
BUST_CACHE = Field("bust_cache", boolean, default=False)
BACKGROUND = Field("background", boolean, default=False)
SOURCES = Field("sources", object_of(Field("mode", one_of("located", "cited"), required=True)))
MAX_INT = 2**31 - 1
SAMPLE_DOCUMENT = {"filename": "sample.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"}


def votes(maximum: int) -> Field:
    """Make the field for the number of votes."""
    return Field("n_consensus", bounded_int(1, maximum), default=1)


def load_document(request: dict[str, Any], intake: DocumentLoader) -> dict[str | int, AttachedDocument]:
    """Load the only document of a request."""
    return {ONLY_DOCUMENT: intake.load(request["document"], ("body", "document"))}


BATCH_STATUS_NAMES = {"in_progress": "running", "failed": "error"}
BATCH_STATUSES = ("pending", "queued", "running", "completed", "error", "cancelled")
# The error fields that a batch shows, with their defaults.
BATCH_ERROR = {"message": "(no message)", "details": None}
TRIGGER_AND_DATES = (TRIGGER_TYPE, *DATES)
REVIEW_BLOCK = "block_review"


def lifecycle(run: Run, now: float, error_fields: Mapping[str, Any]) -> dict[str, Any]:
    """Render the lifecycle; `error_fields` are the keys of an error, with their defaults."""
    phase = run.timeline.phase(now)
    extra: dict[str, Any] = {}
    if phase == "failed" and run.error is not None:
        extra = {name: run.error.get(name, usual) for name, usual in error_fields.items()}
    elif phase == "cancelled":
        extra = {"reason": None}
    elif phase == "awaiting_review":
        extra = {"waiting_for_block_ids": [REVIEW_BLOCK]}
    return {"status": run.status(now), **extra}


def timing(run: Run, now: float) -> dict[str, Any]:
    """Render the times of a run."""
    timeline = run.timeline
    return {
        "created_at": run.format_time(timeline.created_at),
        "started_at": run.format_time(timeline.started_at(now)),
        "completed_at": run.format_time(timeline.ended_at(now)),
    }


def batch(run: Run, now: float) -> dict[str, Any]:
    """Render the fields that eval runs and experiment runs share."""
    return {
        "id": run.id,
        "workflow_id": workflow_of(run),
        "workflow_version_id": version_of(workflow_of(run), "production"),
        "trigger": {"type": TRIGGER},
        "lifecycle": lifecycle(run, now, BATCH_ERROR),
        "timing": {**timing(run, now), "duration_ms": duration_ms(run, now)},
    }


def workflow_of(run: Run) -> str:
    """Return the workflow of a run; a generated id if the request names none."""
    return run.request["workflow_id"] or f"wrk_{fingerprint(run.request['experiment_id'])}"


def version_of(workflow_id: str, version: str) -> str:
    """Return the id of the version `production` or `draft`, or of an explicit one."""
    if version.startswith("ver_"):
        return version
    return f"{'draft' if version == 'draft' else 'ver'}_{fingerprint(workflow_id)}"


def fingerprint(text: str) -> str:
    """Return twelve hexadecimal digits derived from a text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
