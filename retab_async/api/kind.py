"""How the API speaks of one kind of run, where the kinds differ."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from retab_async.models import RunStatus


@attrs.frozen(kw_only=True)
class KindSpec:
    """What a kind declares of itself; the defaults are what most kinds have in common.

    `unfinished`: the statuses, in the order of life, of the runs that are not over, or (None,) where lists know no
    filter for them. `status_at`: the keys that lead to the status in a run's JSON, none for what is no run.
    `has_output`: whether a read may leave the output out, by `include_output`. `is_listed`: whether there is a list
    of the runs; `lists_by_moments`: whether that takes moments alone, and no days. `cancel_fields` makes the JSON that
    a cancel carries, once for each call; `run_in_cancel` is the key under which its answer holds the run, where it is
    not the run itself, and `refusal` the key and word by which it says that it was of no use. `is_absent_when_over`:
    whether a cancel of a run that is over is answered with a 404.
    """

    active_statuses: tuple[str | None, ...] = (RunStatus.PENDING, RunStatus.QUEUED, RunStatus.IN_PROGRESS)
    status_path: tuple[str, ...] = ("status",)
    has_output: bool = True
    is_listed: bool = True
    list_needs_datetimes: bool = False
    cancel_body: Callable[[], Mapping[str, Any]] | None = None
    cancel_envelope: str = ""
    cancel_failure_marker: tuple[str, str] | None = None
    cancel_404_when_finished: bool = False

    def run_of_cancel(self, value: Any) -> Any:
        """Return the run in the answer to a cancel."""
        inner = value.get(self.cancel_envelope) if isinstance(value, dict) and self.cancel_envelope else None
        return value if inner is None else inner

    def is_refusal(self, value: Any) -> bool:
        """Tell whether the answer to a cancel says that it was of no use, which it also may of a run that is over."""
        return (
            self.cancel_failure_marker is not None
            and isinstance(value, dict)
            and value.get(self.cancel_failure_marker[0]) == self.cancel_failure_marker[1]
        )

    def status_alone(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a run's JSON with nothing beside the status in the objects that lead to it."""
        return _reduced(value, self.status_path) if self.status_path else value

    def with_status(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a run's JSON with a status in it: pending, as the API documents, where none is told."""
        return _completed(value, self.status_path) if self.status_path else value


def _completed(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = keys
    told = value.get(first)
    if rest:
        return {**value, first: _completed(told if isinstance(told, dict) else {}, tuple(rest))}
    return value if isinstance(told, str) and told else {**value, first: str(RunStatus.PENDING)}


def _reduced(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = keys
    told = value.get(first)
    if not rest or not isinstance(told, dict):
        return value
    return {**value, first: _reduced({rest[0]: told.get(rest[0])}, tuple(rest))}
