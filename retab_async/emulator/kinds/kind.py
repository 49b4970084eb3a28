"""What a kind of run declares: everything in which it differs from the others."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.run_timeline import PHASES
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field


def _agree(_: dict[str, Any]) -> None:
    """Find the fields of a request in agreement."""


def _nothing(_: dict[str, Any], __: Intake) -> dict[str | int, Attached]:
    return {}


@attrs.frozen(kw_only=True, eq=False)
class Kind:
    """A kind of run, of which `collection` is the name and `path` the place below /v1.

    A request: `fields` are read one by one, and `agree` refuses those that contradict one another; `attach` takes the
    documents in. `sample` is the request that seeded runs have, and `sample_file` the id of a file it speaks of.

    A run: `view` shows it, and `brief` does where the status can be had alone. `words` has the words for the phases
    that are not shown by their own name; `pauses` tells whether it may await review.

    The verbs: a create answers `created`. There is a list if `listing` says what of, a delete if `deletable`, and a
    stream if `stages` gives the outputs on the way. A cancel is 404 in the phases of `keeps`; it is answered by
    `cancelled`, which is told the phase before, or else by `view`; with `commands` it is a JSON body that may have a
    `command_id`.
    """

    collection: str
    path: str = attrs.field(default=attrs.Factory(lambda kind: kind.collection, takes_self=True))
    title: str
    prefix: str
    fields: tuple[Field, ...]
    validate: Callable[[dict[str, Any]], None] = _agree
    attach: Callable[[dict[str, Any], Intake], dict[str | int, Attached]] = _nothing
    sample: Mapping[str, Any]
    sample_file: str | None = None
    created: int = 201
    view: Callable[[Run, float], dict[str, Any]]
    brief: Callable[[Run, float], dict[str, Any]] | None = None
    status_names: Mapping[str, str] = attrs.field(factory=dict)
    can_pause: bool = False
    listing: ListSpec[Run] | None = None
    deletable: bool = False
    stream_outputs: Callable[[Run], Iterable[Any]] | None = None
    cancel_404_phases: tuple[str, ...] = ()
    cancelled: Callable[[Run, str, float], dict[str, Any]] | None = None
    has_command_id: bool = False

    def reworded(self, words: Mapping[str, str]) -> dict[str, str]:
        """Give the words for the phases of a run, some of them replaced; ValueError for one that the kind has not."""
        own = {
            phase: self.status_names.get(phase, phase)
            for phase in PHASES
            if self.can_pause or phase != "awaiting_review"
        }
        strange = sorted(words.keys() - set(own.values()))
        if strange:
            msg = f"{self.collection} are never {', '.join(strange)}; they are {', '.join(own.values())}"
            raise ValueError(msg)
        return {phase: words.get(word, word) for phase, word in own.items()}
