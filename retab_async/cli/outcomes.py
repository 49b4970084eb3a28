"""What became of each of several runs, in the words that the command prints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs

from retab_async.bulk import Disposition
from retab_async.converter import unstructure
from retab_async.errors import APIError, InvalidRunIdError, NotFoundError, RetabError
from retab_async.models import Run

_FAILURES = frozenset(str(word) for word in Disposition if word.is_failure)
_CREW = 16


@attrs.frozen(kw_only=True)
class Outcome:
    """One id and what became of it.

    `kind`: the name of its collection, empty where that is not known. `disposition`: `deleted`, or the word of a
    `CancelOutcome`.
    """

    kind: str
    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether what was to be done may not have been."""
        return self.disposition in _FAILURES

    @property
    def status(self) -> str:
        """The run's status, or nothing where none is known."""
        return str(self.run.status) if self.run else ""

    def as_row(self, *, has_kind: bool = False) -> tuple[str, ...]:
        """Return it as a row for people: its id, its kind if that is wanted, disposition, status, reason."""
        kind = (self.kind,) if has_kind else ()
        return self.run_id, *kind, self.disposition, self.status, self.reason

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object, the run inside it as the API writes it."""
        return {
            "kind": self.kind or None,
            "id": self.run_id,
            "disposition": self.disposition,
            "run": unstructure(self.run) if self.run else None,
            "reason": self.reason or None,
        }


async def delete_each(
    kind: str, ids: Iterable[str], delete: Callable[[str], Awaitable[None]], tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Delete runs of a kind, by a crew that pulls from one iterator; return the outcomes in the order of the ids.

    `tell` hears of each outcome as it comes.
    """
    numbered = iter(enumerate(ids))
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for number, run_id in numbered:
            outcomes[number] = await _delete_one(kind, run_id, delete)
            tell(outcomes[number])

    async with asyncio.TaskGroup() as crew:
        for _ in range(_CREW):
            crew.create_task(work())
    return [outcomes[number] for number in sorted(outcomes)]


async def _delete_one(kind: str, run_id: str, delete: Callable[[str], Awaitable[None]]) -> Outcome:
    try:
        await delete(run_id)
    except RetabError as error:
        return Outcome(kind=kind, run_id=run_id, disposition=_disposition_of(error), reason=str(error))
    return Outcome(kind=kind, run_id=run_id, disposition="deleted")


def _disposition_of(error: RetabError) -> str:
    if isinstance(error, NotFoundError):
        return "not_found"
    refused = isinstance(error, InvalidRunIdError) or (isinstance(error, APIError) and 400 <= error.status_code < 500)
    return "rejected" if refused else "unconfirmed"
