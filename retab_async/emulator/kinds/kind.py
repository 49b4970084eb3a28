"""Declaration of a kind of run."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from retab_async.emulator.documents import AttachedDocument, DocumentLoader
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import PHASES
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field


def _accept(_: dict[str, Any]) -> None:
    """Accept every combination of fields."""


def _no_documents(_: dict[str, Any], __: DocumentLoader) -> dict[str | int, AttachedDocument]:
    return {}


@attrs.frozen(kw_only=True, eq=False)
class RunKind:
    """Kind of run: everything in which it differs from the others.

    Attributes:
        name: The name, which is also the default `path`.
        path: The path below /v1.
        title: The name in error messages.
        prefix: The prefix of the ids.
        fields: The fields of a create request.
        validate: Rejects fields that contradict one another.
        load_documents: Loads the documents of a request.
        sample: The create request of seeded runs.
        sample_file: The id of a file that `sample` refers to.
        created_status: The HTTP status of a create.
        view: Renders a run.
        status_view: Renders only the status; None if the API has no such view.
        status_names: The statuses of phases that are not shown under their own name.
        can_pause: Whether a run can await a review.
        listing: The parameters of the list; None if there is no list.
        deletable: Whether runs can be deleted.
        stream_outputs: Returns the partial outputs of a stream; None if there is no stream.
        cancel_404_phases: The phases in which a cancel is answered 404.
        cancel_view: Renders the response to a cancel, given the phase before it; `view` by default.
        has_command_id: Whether a cancel has a JSON body with a `command_id`.
    """

    name: str
    path: str = attrs.field(default=attrs.Factory(lambda kind: kind.name, takes_self=True))
    title: str
    prefix: str
    fields: tuple[Field, ...]
    validate: Callable[[dict[str, Any]], None] = _accept
    load_documents: Callable[[dict[str, Any], DocumentLoader], dict[str | int, AttachedDocument]] = _no_documents
    sample: Mapping[str, Any]
    sample_file: str | None = None
    created_status: int = 201
    view: Callable[[Run, float], dict[str, Any]]
    status_view: Callable[[Run, float], dict[str, Any]] | None = None
    status_names: Mapping[str, str] = attrs.field(factory=dict)
    can_pause: bool = False
    listing: ListSpec[Run] | None = None
    deletable: bool = False
    stream_outputs: Callable[[Run], Iterable[Any]] | None = None
    cancel_404_phases: tuple[str, ...] = ()
    cancel_view: Callable[[Run, str, float], dict[str, Any]] | None = None
    has_command_id: bool = False

    def phase_of(self, status: str) -> str:
        """Return the phase with a status, named as by the kind or as the phase; ValueError for an unknown one."""
        names = self.resolve_status_names({})
        phases = {name: phase for phase, name in names.items()} | {phase: phase for phase in names}
        if status not in phases:
            msg = f"{self.name} are never {status}; they are {', '.join(names.values())}"
            raise ValueError(msg)
        return phases[status]

    def resolve_status_names(self, overrides: Mapping[str, str]) -> dict[str, str]:
        """Return the statuses of the phases, with some replaced; ValueError for one that the kind does not have."""
        statuses = {
            phase: self.status_names.get(phase, phase)
            for phase in PHASES
            if self.can_pause or phase != "awaiting_review"
        }
        unknown = sorted(overrides.keys() - set(statuses.values()))
        if unknown:
            msg = f"{self.name} are never {', '.join(unknown)}; they are {', '.join(statuses.values())}"
            raise ValueError(msg)
        return {phase: overrides.get(status, status) for phase, status in statuses.items()}
