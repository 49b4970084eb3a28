"""What differs between the kinds of run on the wire."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from retab_async.models import RunStatus


@attrs.frozen(kw_only=True)
class KindSpec:
    """The wire format of one kind of run; the defaults are those of most kinds.

    Attributes:
        id_prefix: Usual first part of the ids, for the hint of a 404; ids are never checked against it.
        id_name: What the official client calls the id of a run.
        active_statuses: The statuses of runs that are not finished, in the order of a run's life; `(None,)` for a kind
            whose list has no filter by status.
        status_path: The keys that lead to the status in the JSON of a run; empty for a resource that is not a run.
        has_output: Whether a read can leave out the output, with `include_output=false`.
        is_listed: Whether the API lists runs of this kind.
        list_needs_datetimes: Whether the list's date filters take datetimes only, no dates.
        cancel_body: Makes the JSON body of a cancel, once for each call; None for no body.
        cancel_envelope: The key that holds the run in the response to a cancel; empty if the response is the run.
        cancel_failure_marker: The key and value with which a 2xx response to a cancel says that it failed.
        cancel_404_when_finished: Whether a cancel of a finished run is answered with a 404.
    """

    id_prefix: str = ""
    id_name: str = "run_id"
    active_statuses: tuple[str | None, ...] = (RunStatus.PENDING, RunStatus.QUEUED, RunStatus.IN_PROGRESS)
    status_path: tuple[str, ...] = ("status",)
    has_output: bool = True
    is_listed: bool = True
    list_needs_datetimes: bool = False
    cancel_body: Callable[[], Mapping[str, Any]] | None = None
    cancel_envelope: str = ""
    cancel_failure_marker: tuple[str, str] | None = None
    cancel_404_when_finished: bool = False

    def unwrap_cancel(self, value: Any) -> Any:
        """Return the run inside the JSON response to a cancel."""
        inner = value.get(self.cancel_envelope) if isinstance(value, dict) and self.cancel_envelope else None
        return value if inner is None else inner

    def is_cancel_failure(self, value: Any) -> bool:
        """Return whether a 2xx response to a cancel says that it failed, which it may also say of a finished run."""
        return (
            self.cancel_failure_marker is not None
            and isinstance(value, dict)
            and value.get(self.cancel_failure_marker[0]) == self.cancel_failure_marker[1]
        )

    def with_default_status(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON of a run with a status: the documented default, pending, if it has none."""
        return _with_default(value, self.status_path) if self.status_path else value


def _with_default(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = path
    current = value.get(first)
    if rest:
        return {**value, first: _with_default(current if isinstance(current, dict) else {}, tuple(rest))}
    return value if isinstance(current, str) and current else {**value, first: str(RunStatus.PENDING)}


def kind_of_path(path: str) -> str:
    """Return the name of a kind on the client: `/v1/schemas/generate` is `schemas`."""
    return path.removeprefix("/v1/").removesuffix("/generate").replace("/", ".")
